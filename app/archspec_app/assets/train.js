// Starts, follows, stops and resumes training runs, and compares and deletes them.
// Events: "preview" "estimate" "start" "stop" "resume" "poll" "compare" "again" "shorten" "note" "rename"
// "remove" "example" "plan" "report" "entries"
import { addressed, setAddress } from "./address.js";
import { button, h, headRow, keepFocus, option, rowHead } from "./dom.js";
import { openPicker } from "./file_picker.js";
import { formatDuration, formatExact, formatScore } from "./numbers.js";
import { openTab } from "./navigation.js";
import { changeBy, send, whenVisible } from "./page.js";
import { speeds } from "./chart_scale.js";
import { chart, chartView, smoothingBar } from "./run_charts.js";
import { comparison, scoresOf, specDifferences } from "./run_comparison.js";
import { reportPanel, reportView } from "./run_report.js";
import { badge, bestScore, runTable } from "./run_table.js";
import { readStored, writeStored } from "./stored.js";
import { estimateFact, previewPanel, shortRun } from "./train_preview.js";
import { formatValue } from "./value_format.js";

const change = changeBy(trigger);
const root = element.querySelector(".train-view");
const STORED = "archspec-train"; // the form of each spec
const POLL_INTERVAL = 1000;
const LIST_INTERVAL = 4000;
const POLL_TIMEOUT = 10000;
const ACT_LIMIT = 10000;
const MAX_COMPARED = 4;
const REPORT_TIMEOUT = 10000;
const ENDED = ["finished", "stopped", "failed", "killed"];
let figures = {}; // key of a score: its name
let fields = null;
let shownFields = "";
let defaults = {};
let spec = null; // whose form it is
let rows = [];
let shownRows = "";
let selected = null;
let run = null;
let sorting = { column: "started", isDown: true };
const compared = new Set();
let drawnKey = null; // of the run whose details are shown
let lastPoll = 0;
let pollStarted = 0;
let isPollWanted = false; // of a run that was chosen while another poll was under way

const form = h("form.train-form");
const notice = h("p.notice", { role: "status" });
const randomLine = h("p.random-line", { role: "status" });
const wrongFields = new Map(); // name: what is wrong
const ESTIMATE_LIMIT = 60000;
const previewed = h("div.preview");
const outdatedLine = h("p.outdated-line", { role: "status" });
const estimateLine = h("span", { role: "status" });
function showEstimate(found) {
  const use = (steps) => {
    fillIn({ max_steps: steps });
    report(`"${fieldOf("max_steps").label}" is ${formatExact(steps)} now: start the training.`);
    form.querySelector("[type=submit]").focus();
  };
  estimateLine.replaceChildren(estimateFact(found), ...shortRun(found, use));
}
let previewedOptions = {};
let view = { ...chartView(), key: null }; // of the charts of a run
let estimateTimer = null;
const list = h("div.runs");
const comparing = h("div.comparison");
const detail = h("div.run");
const reported = h("div"); // stays as it is while the rest of the run is drawn anew
root.append(form, notice, previewed, h("h3", "Runs"), list, comparing, detail);

// Columns are left out by the room that the list has, not by the width of the window.
const ROOM = { tiny: 440, small: 600, medium: 760 };
const setRoom = ([{ contentRect }]) => {
  const fitting = Object.keys(ROOM).find((name) => contentRect.width < ROOM[name]);
  for (const name of Object.keys(ROOM)) list.classList.toggle(name, name === fitting);
};
new ResizeObserver(setRoom).observe(list);

// ----------------------------------------------------------------------------------------- form
function input({ name, type, value, choices, empty, labels, help, placeholder, suggestions, min, max }) {
  const common = { name, id: `train-${name}`, "aria-describedby": help ? `help-train-${name}` : null };
  const label = (choice) => labels?.[choice] ?? (choice || empty);
  if (choices)
    return h(
      "select",
      common,
      choices.map((choice) => option(choice, value, label(choice))),
    );
  const text = { ...common, value, placeholder };
  if (type === "number") return h("input", { ...text, type: "number", step: "any", min, max });
  return h("input", { ...text, type: "text", spellcheck: "false", list: suggestions ? `list-${name}` : null });
}

function fieldLabel(field) {
  const { name, label, help, suggestions } = field;
  return h(
    "label",
    h("span", label),
    field.is_file ? h("span.with-picker", input(field), pickerButton(field)) : input(field),
    help ? h("small.quiet", { id: `help-train-${name}` }, help) : "",
    suggestions
      ? h(
          "datalist",
          { id: `list-${name}` },
          suggestions.map((value) => option(value)),
        )
      : "",
  );
}

let showEntries = null; // in the dialog that is open

// Begins in the folder of what the field has.
function pickerButton({ name, label, suggestions, example }) {
  const put = (value) => {
    fillIn({ [name]: value });
    form.elements.namedItem(name).focus();
  };
  const open = () => {
    const here = valueOf(name).split("/").slice(0, -1).join("/");
    showEntries = openPicker({
      title: `Choose ${label.toLowerCase()}`,
      folder: here,
      suggestions: suggestions ?? [],
      offer: example ? { ...example, act: fillExample } : null,
      ask: (folder, search) => trigger("entries", { folder, search, purpose: name }),
      choose: put,
    });
  };
  return button("Choose …", open, { "aria-label": `Choose ${label.toLowerCase()} …` });
}

const fieldOf = (name) => [...fields.main, ...fields.more].find((field) => field.name === name);
const valueOf = (name) => form.elements.namedItem(name).value;

const fillExample = () => doOnce("example", { weights: valueOf("weights"), tokenizer: valueOf("tokenizer") });

// Data stands in a row of its own, beside the example for a model that it suits.
function dataField(field) {
  const { example } = field;
  const offer = example ? h("p.offer", button(example.label, fillExample), h("small.quiet", example.about)) : "";
  return h("div.data-field", fieldLabel(field), offer);
}

function groups(all) {
  const names = new Set(all.map(({ group }) => group));
  const of = (name) => all.filter(({ group }) => group === name).map(fieldLabel);
  return [...names].map((name) => h("section", h("h4", name), h("div.fields", of(name))));
}

const enteredValues = () => [...form.elements].filter(({ name }) => name).map(({ name, value }) => [name, value]);
function storeForm() {
  const values = Object.fromEntries(enteredValues());
  writeStored(STORED, { ...readStored(STORED), [spec]: { defaults, values } });
}

// What was entered for this spec; for one that is new, what was entered for the one before.
function drawForm(formSpec) {
  const stored = formSpec === spec ? null : readStored(STORED)[formSpec];
  const isKept = Boolean(stored?.defaults && stored.values);
  const values = isKept ? stored.values : Object.fromEntries(enteredValues());
  if (isKept) defaults = stored.defaults;
  if (spec !== null && spec !== formSpec) {
    report("");
    outdatePreview();
  }
  spec = formSpec;
  const isOpen = form.querySelector("details")?.open ?? false;
  form.replaceChildren(
    h(
      "div.fields",
      fields.main.map((field) => (field.name === "data" ? dataField(field) : fieldLabel(field))),
    ),
    randomLine,
    h("details", { open: isOpen }, h("summary", "More options"), groups(fields.more)),
    h(
      "p.bar",
      h("button.primary", { type: "submit" }, "Start training"),
      button("Preview", showPreview, {
        title: "the data, the lengths, the memory, and the command line that does the same",
      }),
    ),
  );
  restoreForm(values, isKept);
  storeForm();
  tellRandom();
  for (const [name, problem] of new Map(wrongFields)) mark(name, problem);
}

// Values that were entered stay, unless the default has changed since: a plan chosen in the tree comes first. Those
// that were kept for this spec also stay where it has no default any more: the example's are those of its opening.
function restoreForm(values, isKept) {
  const before = defaults;
  defaults = Object.fromEntries([...fields.main, ...fields.more].map(({ name, value }) => [name, value]));
  for (const [name, value] of Object.entries(values)) {
    const control = form.elements.namedItem(name);
    const isStale = defaults[name] !== before[name] && !(isKept && defaults[name] === "" && name !== "freeze");
    if (!control || isStale) continue;
    const isPossible = control.tagName !== "SELECT" || [...control.options].some((choice) => choice.value === value);
    if (isPossible) control.value = value;
  }
}

// Whether a plan, a phase or an adapter freezes something. Without a plan and phases, the adapter decides.
function isFreezing() {
  const { freezing } = fieldOf("freeze"); // names of plans; the empty one is that of the spec's adapter
  const phases = valueOf("phases");
  if (phases) return phases.split(",").some((phase) => freezing.includes(phase.split(":")[0].trim()));
  const [plan, adapter] = [valueOf("freeze"), valueOf("adapter")];
  return plan || !adapter ? freezing.includes(plan) : adapter !== "none";
}
// Hardly anybody wants that, and nothing else in the form shows it.
function tellRandom() {
  const isRandom = !valueOf("weights") && isFreezing();
  randomLine.textContent = isRandom ? "Without weights, what is frozen stays at random values." : "";
}

function formOptions() {
  const values = {};
  for (const { name, type, value, valueAsNumber } of form.elements)
    if (name && value !== "") values[name] = type === "number" ? valueAsNumber : value;
  return values;
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  report("Starting …");
  doOnce("start", { options: formOptions() });
});
function showPreview() {
  report("Reading the data …");
  previewedOptions = formOptions();
  trigger("preview", { options: previewedOptions });
}
// What was read is of other settings as soon as one changes.
function outdatePreview() {
  if (!previewed.hasChildNodes() || previewed.matches(".outdated")) return;
  previewed.classList.add("outdated");
  outdatedLine.replaceChildren("Settings changed since: ", button("Preview again", showPreview));
}
form.addEventListener("input", ({ target }) => {
  outdatePreview();
  storeForm();
  tellRandom();
  unmark(target.name);
  if (notice.matches(".wrong") && !wrongFields.size) report("");
});
// The page has one freeze plan, for the tree, the cost and the training.
form.addEventListener("change", ({ target }) => {
  if (target.name === "freeze") choosePlan(target);
  if (target.name && !target.validity.valid) mark(target.name, target.validationMessage);
});
function choosePlan(control) {
  if (control.selectedIndex >= 0) change("plan", { plan: control.value }, control);
}

const closePreview = () => previewed.replaceChildren();

function report(text, isError = false, names = []) {
  notice.textContent = text;
  notice.classList.toggle("wrong", isError);
  for (const name of wrongFields.keys()) unmark(name);
  for (const name of names) mark(name);
  if (names.length) showField(names[0]);
}

// With what the message of the form says of a field, or another problem.
function mark(name, problem = problemOf(name)) {
  const control = form.elements.namedItem(name);
  if (!control) return;
  unmark(name);
  wrongFields.set(name, problem);
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-errormessage", `error-train-${name}`);
  control.after(h("small.field-error", { id: `error-train-${name}` }, problem));
}

// The message of the form may be far below the field.
function problemOf(name) {
  const problems = notice.textContent.split("\n\n");
  return problems.find((text) => text.includes(`"${fieldOf(name)?.label}"`));
}

function unmark(name) {
  wrongFields.delete(name);
  const control = form.elements.namedItem(name);
  control?.removeAttribute("aria-invalid");
  control?.removeAttribute("aria-errormessage");
  form.querySelector(`#error-train-${name}`)?.remove();
}

function showField(name) {
  const control = form.elements.namedItem(name);
  if (!control) return;
  const section = control.closest("details");
  if (section) section.open = true;
  control.focus();
}

// ----------------------------------------------------------------------------------------- runs
function drawList() {
  keepFocus(list, "data-act", () =>
    list.replaceChildren(
      runTable(rows, { selected, compared, sorting }, { select, sortBy, check }),
      rows.length > 1 ? compareBar() : "",
    ),
  );
}

function compareBar() {
  const text = compared.size > 1 ? `Compare ${compared.size} runs` : "Compare runs";
  const ask = () => trigger("compare", { runs: [...compared] });
  const hint = `Check 2 to ${MAX_COMPARED} runs to lay their curves over each other.`;
  return h(
    "p.compare-bar",
    button(text, ask, { disabled: compared.size < 2, "data-act": "compare" }),
    compared.size < 2 ? h("span.quiet", hint) : "",
  );
}

function sortBy(column) {
  sorting = { column, isDown: sorting.column === column ? !sorting.isDown : column !== "key" };
  drawList();
}

function check(key, isChecked) {
  if (isChecked) compared.add(key);
  else compared.delete(key);
  if (compared.size > MAX_COMPARED) compared.delete(compared.values().next().value);
  drawList();
}

function select(key) {
  selected = key;
  const row = rows.find((other) => other.key === key);
  run = { row, steps: [], epochs: [], offset: 0, version: 0, log: "" };
  reported.replaceChildren();
  setAddress({ run: key });
  drawList();
  drawRun();
  isPollWanted = pollStarted > 0;
  poll();
}

const isNumber = (value) => typeof value === "number";
const isKnown = ([, value]) => isNumber(value);

function speedText({ samples_per_second: samples, tokens_per_second: tokens }) {
  const parts = Object.entries({ samples, tokens }).filter(isKnown);
  return parts.map(([name, value]) => `${formatValue(value)} ${name}/s`).join(", ");
}

function progressText(row) {
  const { epoch, epochs, step, steps, seconds, seconds_left: left, best, test, can_stop: isActive } = row;
  const { computing, evaluating, ended_by: endedBy } = row;
  const stepText = computing
    ? samplesText("frozen part, computed once", computing)
    : steps
      ? `step ${formatExact(step)} of ${formatExact(steps)}`
      : step
        ? `step ${formatExact(step)}`
        : "";
  const remaining = left < 1 ? "evaluation and report left" : `about ${formatDuration(left)} left`;
  const parts = [
    epochs ? `epoch ${Math.min(isActive && !endedBy ? epoch + 1 : epoch, epochs)} of ${epochs}` : "",
    stepText,
    evaluating ? samplesText(`evaluation on ${evaluating.split}`, evaluating) : "",
    seconds === null ? "" : `${formatDuration(seconds)}${isActive ? " so far" : ""}`,
    isActive && !evaluating ? speedText(row) : "",
    isActive && !evaluating && left !== null ? remaining : "",
    endedBy ? `ended by ${fieldOf(endedBy)?.label ?? endedBy}` : "",
    best ? `best ${bestScore({ best })}` : "",
    test ? testScore(test) : "",
  ];
  return parts.filter(Boolean).join(" · ");
}

function samplesText(what, { samples, of, seconds_left: left }) {
  const done = `${what}: ${formatExact(samples)} of ${formatExact(of)} samples`;
  return left === null ? done : `${done}, about ${formatDuration(Math.max(1, left))} left for it`;
}

/** What a run does before its first step. */
function lastLine(log) {
  return log.trimEnd().split("\n").at(-1);
}

function testScore(test) {
  const [name] = [...scoresOf([test], figures), "loss"];
  return `test ${figures[name] ?? name} ${formatScore(test[name])}`;
}
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function progressBar({ share: shareOfSteps, computing, evaluating }) {
  const part = computing ?? evaluating;
  const share = part?.share ?? shareOfSteps;
  const name = computing ? "the frozen part" : evaluating ? "the evaluation" : "the run";
  const attributes = {
    role: "progressbar",
    "aria-label": `Progress of ${name}`,
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": share === null ? null : Math.round(100 * share),
  };
  const kind = part ? "part" : "";
  return h("div.progress", attributes, h("span", { class: kind, style: `width:${100 * (share ?? 0)}%` }));
}

const OF_LOSSES = { train_loss: "Training loss", loss: "Validation loss" };
function epochTable(epochs) {
  if (!epochs.length) return "";
  const best = epochs.findLast((epoch) => epoch.best);
  const names = ["train_loss", "loss", ...scoresOf(epochs, figures)];
  const titles = names.map((name) => OF_LOSSES[name] ?? capitalized(figures[name] ?? name));
  const body = epochs.map((epoch) => {
    const cells = names.map((name) => h("td.number", formatScore(epoch[name])));
    const isBest = epoch === best;
    return h("tr", { class: isBest ? "best" : "" }, rowHead(`${epoch.epoch}${isBest ? " best" : ""}`), cells);
  });
  const head = headRow(["Epoch", ...titles], (i) => i > 0);
  return [h("h4", "Epochs"), h("table.epochs", head, h("tbody", body))];
}

function charts({ row: { key, can_stop: isActive }, steps, epochs }) {
  if (view.key !== key) view = { ...chartView(), smoothing: view.smoothing, key };
  const ofEpochs = (name) => epochs.map((epoch) => [epoch.step, epoch[name]]);
  const training = steps.map(({ step, loss }) => [step, loss]);
  const scores = scoresOf(epochs, figures)
    .slice(0, 2)
    .map((name, i) => ({ name: figures[name], kind: "ab"[i], points: ofEpochs(name), dots: true }));
  const losses = [
    { name: "training", kind: "a", points: training },
    { name: "validation", kind: "b", points: ofEpochs("loss"), dots: true },
  ];
  const ofSteps = (name) => steps.map(({ step, [name]: value }) => [step, value]);
  const format = formatValue;
  const rates = { name: "peak of all groups", kind: "a", points: ofSteps("learning_rate"), isExact: true, format };
  const norms = { name: "before clipping", kind: "a", points: ofSteps("grad_norm").filter(isKnown), format };
  const speed = (name) => ({ name: `${name} per second`, kind: "a", points: speeds(steps, name), format });
  if (!steps.length && !epochs.length)
    return h("p.quiet.no-curves", isActive ? "Curves follow the first steps." : "No step was recorded.");
  const drawn = h("div.charts");
  const draw = () =>
    drawn.replaceChildren(
      chart("Loss", losses, view),
      chart("Validation", scores, view),
      chart("Learning rate", [rates], view),
      chart("Gradient norm", [norms], view),
      chart("Speed", [speed("samples")], view),
      steps.some(({ tokens }) => isNumber(tokens)) ? chart("Tokens", [speed("tokens")], view) : "",
    );
  draw();
  return h("div", smoothingBar(view, draw), drawn);
}

const tryLabel = ({ status }) => (status === "finished" ? "Predict with this model" : "Predict with its best epoch");
function tryModel(key) {
  openTab("predict");
  setAddress({ model: `runs/${key}` }); // Predict may not be there yet
  send("try-run", "chosen");
}
function remove(key) {
  if (window.confirm(`Delete ${key} with its weights and its log? This cannot be undone.`))
    doOnce("remove", { run: key });
}
function textFields({ key, note, can_delete: isIdle }) {
  const field = (label, act, attributes) =>
    h("label.note", h("span.quiet", label), h("input", { type: "text", "data-act": act, ...attributes }));
  const saveNote = (event) => trigger("note", { run: key, note: event.target.value });
  const rename = (event) => trigger("rename", { run: key, name: event.target.value });
  const placeholder = "what this run was for";
  return h(
    "div.run-fields",
    isIdle ? field("Name", "name", { value: key, maxlength: 120, onchange: rename, spellcheck: "false" }) : "",
    field("Note", "note", { value: note, maxlength: 300, onchange: saveNote, placeholder }),
  );
}
// The run of another name: wherever it was chosen, it still is.
function renamed({ from, to }) {
  if (compared.delete(from)) compared.add(to);
  comparing.replaceChildren();
  for (const name of ["model", "with"]) if (addressed(name) === `runs/${from}`) setAddress({ [name]: `runs/${to}` });
  send("try-run");
  select(to);
}

// Another run with the same options: the form, where those that are not among them have their defaults.
function fillForm(options) {
  for (const { name } of [...fields.main, ...fields.more]) {
    const control = form.elements.namedItem(name);
    if (control) control.value = options[name] ?? defaults[name] ?? "";
  }
  choosePlan(form.elements.namedItem("freeze"));
  storeForm();
  tellRandom();
  outdatePreview();
  form.querySelector("details").open = true;
  form.elements.namedItem("data").focus();
}

function fillIn(options) {
  for (const [name, value] of Object.entries(options)) {
    const control = form.elements.namedItem(name);
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

// For who waits for the first epoch of a long run, and wanted to try something out.
function shorterRun({ key, short_steps: steps }) {
  const label = `Stop, and train ${steps === 1 ? "1 step" : `${formatExact(steps)} steps`} instead`;
  const shorten = button(label, () => doOnce("shorten", { run: key, steps }), { "data-act": "shorten" });
  return h("p.bar.shorter", h("span.quiet", "This takes long. To try it out first:"), shorten);
}

const fieldLink = (name) => {
  const field = fieldOf(name);
  return field ? button(`Go to ${field.label}`, () => showField(name), { "data-act": `field ${name}` }) : "";
};

function drawRun() {
  if (!run?.row) {
    detail.replaceChildren();
    return;
  }
  askReportOnce();
  const { row } = run;
  const isTyping = ["note", "name"].includes(document.activeElement.dataset.act);
  const isBusy = (isTyping && detail.contains(document.activeElement)) || detail.matches(":active");
  if (isBusy && row.key === drawnKey) return; // somebody types, or drags over a chart
  drawnKey = row.key;
  const log = detail.querySelector(".log");
  const isReading = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4;
  const scrollTop = isReading ? log.scrollTop : null;
  const isOpen = detail.querySelector("details")?.open ?? false;
  const action = (label, name) => button(label, () => doOnce(name, { run: row.key }), { "data-act": name });
  const content = [
    h("h3", { tabindex: "-1", "data-act": "heading" }, row.key, " ", badge(row)),
    progressBar(row),
    h("p.quiet", progressText(row)),
    row.can_stop && !row.step && !row.computing ? h("p.quiet.doing", lastLine(run.log)) : "",
    h(
      "p.run-actions",
      row.can_stop ? action("Stop", "stop") : "",
      row.can_resume ? action("Resume", "resume") : "",
      row.status === "finished" || row.best
        ? button(tryLabel(row), () => tryModel(row.key), { "data-act": "try" })
        : "",
      row.can_repeat ? action("Again with changes", "again") : "",
      row.can_delete ? button("Delete", () => remove(row.key), { "data-act": "remove" }) : "",
    ),
    row.can_repeat && row.short_steps && row.can_stop && !row.epoch ? shorterRun(row) : "",
    textFields(row),
    row.error ? h("pre.notice.wrong", row.error) : "",
    row.wrong.length ? h("p.bar", row.wrong.map(fieldLink)) : "",
    charts(run),
    reported,
    epochTable(run.epochs),
    h(
      "details",
      { open: isOpen },
      h("summary", { "data-act": "log-summary" }, "Log"),
      h("pre.log", { tabindex: "0", "data-act": "log" }, run.log || "no output yet"),
    ),
  ];
  const hadFocus = detail.contains(document.activeElement);
  keepFocus(detail, "data-act", () => detail.replaceChildren(...content.flat()));
  const isLost = hadFocus && !detail.contains(document.activeElement); // a button that is not there any more
  if (isLost) detail.querySelector(".run-actions button")?.focus({ preventScroll: true });
  const newLog = detail.querySelector(".log");
  newLog.scrollTop = scrollTop ?? newLog.scrollHeight;
}

// --------------------------------------------------------------------------------------- report
function askReport(split = "") {
  run.reportAsked = Date.now();
  trigger("report", { run: run.row.key, split });
}
// A run that has finished has a report: it is asked for once, and again if there was no answer.
function askReportOnce() {
  const isMissing = run?.row?.status === "finished" && !run.report;
  if (isMissing && Date.now() - (run.reportAsked ?? 0) > REPORT_TIMEOUT) askReport();
}
function showReport(found) {
  if (!run?.row || found.key !== run.row.key) return;
  run.report = found;
  run.reportView ??= reportView();
  const panel = () => reported.replaceChildren(reportPanel(found, run.reportView, figures, askReport));
  keepFocus(reported, "data-act", panel);
}

// -------------------------------------------------------------------------------------- answers
function poll() {
  const now = Date.now();
  if (pollStarted && now - pollStarted < POLL_TIMEOUT) return;
  pollStarted = lastPoll = now;
  trigger("poll", selected ? { run: selected, offset: run.offset, version: run.version } : {});
}
function tick() {
  if (!document.body.contains(root)) {
    clearInterval(timer);
    return;
  }
  if (document.hidden || !root.offsetParent) return;
  askReportOnce();
  const isActive = run?.row && !ENDED.includes(run.row.status);
  if (isActive || Date.now() - lastPoll > LIST_INTERVAL) poll();
}
const timer = setInterval(tick, POLL_INTERVAL);
whenVisible(root, () => {
  pollStarted = 0;
  poll();
});

function selectFirst() {
  const first = rows.find(({ key }) => key === addressed("run")) ?? rows[0];
  if (first) select(first.key);
}
window.addEventListener("popstate", () => {
  const key = addressed("run");
  if (key !== selected && rows.some((row) => row.key === key)) select(key);
});

function forget(key) {
  compared.delete(key);
  comparing.replaceChildren();
  if (selected !== key) return;
  selected = run = null;
  setAddress({ run: "" });
  drawRun();
}

// That a run was started, or will stop, is past when it has ended.
function messageOfRunEnds() {
  if (!notice.matches(".wrong") && !notice.textContent.endsWith("…")) report("");
}
function addPoints(update) {
  const state = () => JSON.stringify([run.row, run.log, run.version]);
  const before = state();
  if (ENDED.includes(update.row.status) && !ENDED.includes(run.row?.status)) messageOfRunEnds();
  if (update.restarted) Object.assign(run, { steps: [], epochs: [] });
  run.steps.push(...update.steps);
  run.epochs.push(...update.epochs);
  Object.assign(run, { offset: update.offset, version: update.version, log: update.log, row: update.row });
  if (update.restarted || update.more) setTimeout(poll, 0);
  if (update.restarted || update.steps.length || update.epochs.length || before !== state()) drawRun();
}

// What a click does is done once: a second one does nothing until the first is answered, as in a double click.
const underWay = new Map();
function doOnce(name, data) {
  if (underWay.has(name)) return;
  underWay.set(
    name,
    setTimeout(() => underWay.delete(name), ACT_LIMIT),
  );
  trigger(name, data);
}
function answered(name) {
  clearTimeout(underWay.get(name));
  underWay.delete(name);
}

function receive() {
  const value = props.value;
  answered(value?.event);
  figures = value?.figures ?? figures;
  const newFields = JSON.stringify([value?.spec, value?.fields]);
  if (value?.fields && newFields !== shownFields) {
    shownFields = newFields;
    fields = value.fields;
    keepFocus(form, "name", () => drawForm(value.spec));
  }
  if (value?.estimate) {
    clearTimeout(estimateTimer);
    showEstimate(value.estimate);
  }
  if (value?.report) showReport(value.report);
  if (value?.entries) showEntries?.(value.entries);
  if (!value?.rows) return;
  pollStarted = 0;
  if (isPollWanted) setTimeout(poll, 0);
  isPollWanted = false;
  rows = value.rows;
  send(
    "active-runs",
    rows.filter(({ status }) => !ENDED.includes(status)),
  );
  // The message about the last click stays while the page polls.
  if (value.error || value.event !== "poll")
    report(value.error ?? value.notice ?? "", Boolean(value.error), value.wrong);
  if (value.preview) {
    previewed.classList.remove("outdated");
    estimateLine.textContent = "Time: measuring a few batches on this machine …";
    outdatedLine.replaceChildren();
    previewed.replaceChildren(outdatedLine, ...previewPanel(value.preview, estimateLine, closePreview));
    previewed.scrollIntoView({ block: "nearest" });
    trigger("estimate", { options: previewedOptions });
    clearTimeout(estimateTimer);
    estimateTimer = setTimeout(() => {
      showEstimate({ problem: "there was no answer" });
    }, ESTIMATE_LIMIT);
  }
  if (value.filled) {
    fillIn(value.filled);
    form.querySelector("[type=submit]").focus({ preventScroll: true }); // what is left to do
    notice.scrollIntoView({ block: "nearest" });
  }
  if (value.again) fillForm(value.again);
  if (value.compared) {
    comparing.replaceChildren(
      ...comparison(value.compared, figures, () => comparing.replaceChildren()),
      ...specDifferences(value.compared[0].key, value.specs),
    );
    comparing.scrollIntoView({ block: "nearest" });
  }
  if (value.removed) forget(value.removed);
  if (value.renamed) renamed(value.renamed);
  if (value.started) {
    closePreview();
    select(value.started);
    detail.scrollIntoView();
    detail.querySelector("h3").focus({ preventScroll: true }); // what can be done with it comes next
  } else if (!selected) selectFirst();
  const { update } = value;
  if (update && update.key === selected && update.start === run.offset) addPoints(update);
  else if (run && value.event !== "poll") {
    const row = rows.find(({ key }) => key === selected);
    if (row && (row.status !== run.row?.status || row.note !== run.row.note)) {
      run.row = row;
      drawRun();
    }
  }
  const newRows = JSON.stringify([rows, selected]);
  if (newRows !== shownRows) {
    shownRows = newRows;
    drawList();
  }
}
watch("value", receive);
receive();
