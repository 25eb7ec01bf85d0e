// Starts, follows, stops and resumes training runs. Events: "start" "stop" "resume" "poll"
import { ranges, scaleTo, thinOut, ticks } from "./chart_scale.js";
import { button, h, headRow, keepFocus, option, rowHead } from "./dom.js";
import { formatDuration, formatExact, formatPercent, formatScore } from "./numbers.js";
import { whenVisible } from "./page.js";

const root = element.querySelector(".train-view");
const POLL_INTERVAL = 1000;
const LIST_INTERVAL = 4000;
const POLL_TIMEOUT = 10000;
const ENDED = ["finished", "stopped", "failed", "killed"];
let figures = {}; // key of a score: its name
let fields = null;
let shownFields = "";
let defaults = {};
let rows = [];
let shownRows = "";
let selected = null;
let run = null;
let lastPoll = 0;
let pollStarted = 0;

const form = h("form.train-form");
const notice = h("p.notice", { role: "status" });
const list = h("div.runs");
const detail = h("div.run");
root.append(form, notice, h("h3", "Runs"), list, detail);

// ----------------------------------------------------------------------------------------- form
function input({ name, type, value, choices, empty, help, placeholder, suggestions, min, max }) {
  const common = { name, id: `train-${name}`, "aria-describedby": help ? `help-train-${name}` : null };
  const label = (choice) => choice || empty;
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
    input(field),
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

function drawForm() {
  const values = [...form.elements].filter(({ name }) => name).map(({ name, value }) => [name, value]);
  const isOpen = form.querySelector("details")?.open ?? false;
  const more = h("div.fields", fields.more.map(fieldLabel));
  form.replaceChildren(
    h("div.fields", fields.main.map(fieldLabel)),
    h("details", { open: isOpen }, h("summary", "More options"), more),
    h("button.primary", { type: "submit" }, "Start training"),
  );
  restoreForm(Object.fromEntries(values));
}

// Values that were entered stay, unless the default has changed since: a plan chosen in the toolbar comes first.
function restoreForm(values) {
  const before = defaults;
  defaults = Object.fromEntries([...fields.main, ...fields.more].map(({ name, value }) => [name, value]));
  for (const [name, value] of Object.entries(values)) {
    const control = form.elements.namedItem(name);
    if (!control || defaults[name] !== before[name]) continue;
    const isPossible = control.tagName !== "SELECT" || [...control.options].some((choice) => choice.value === value);
    if (isPossible) control.value = value;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const options = {};
  for (const { name, type, value, valueAsNumber } of form.elements)
    if (name && value !== "") options[name] = type === "number" ? valueAsNumber : value;
  report("Starting …");
  trigger("start", { options });
});

function report(text, isError = false) {
  notice.textContent = text;
  notice.classList.toggle("wrong", isError);
}

// ----------------------------------------------------------------------------------------- runs
const badge = ({ status }) => h("span.badge", { class: `status-${status}` }, status);
const bestScore = ({ best }) => (best ? `${best.name} ${formatScore(best.value)}` : "");

function listRow(row) {
  const { key, share } = row;
  const isSelected = key === selected;
  const attributes = { class: "link", "data-run": key, "aria-pressed": String(isSelected) };
  return h(
    "tr",
    { class: isSelected ? "chosen" : "" },
    h(
      "td",
      button(key, () => select(key), attributes),
    ),
    h("td", badge(row)),
    h("td.number", share === null ? "–" : formatPercent(share)),
    h("td.number", bestScore(row)),
  );
}

function drawList() {
  const head = headRow(["Run", "Status", "Progress", "Best"], (i) => i > 1);
  const content = rows.length
    ? h("table", head, h("tbody", rows.map(listRow)))
    : h("p.quiet", "No runs in this folder yet.");
  keepFocus(list, "data-run", () => list.replaceChildren(content));
}

function select(key) {
  selected = key;
  const row = rows.find((other) => other.key === key);
  run = { row, steps: [], epochs: [], offset: 0, version: 0, log: "" };
  sessionStorage.setItem("archspec-run", key);
  drawList();
  drawRun();
  poll();
}

function progressText({ epoch, epochs, step, steps, seconds, seconds_left: left, best, test, can_stop: isActive }) {
  const stepText = steps
    ? `step ${formatExact(step)} of ${formatExact(steps)}`
    : step
      ? `step ${formatExact(step)}`
      : "";
  const remaining = left < 1 ? "nearly done" : `about ${formatDuration(left)} left`;
  const parts = [
    epochs ? `epoch ${epoch} of ${epochs}` : "",
    stepText,
    seconds === null ? "" : `${formatDuration(seconds)}${isActive ? " so far" : ""}`,
    isActive && left !== null ? remaining : "",
    best ? `best ${bestScore({ best })}` : "",
    test ? testScore(test) : "",
  ];
  return parts.filter(Boolean).join(" · ");
}

// The scores that a task has, the loss apart.
const scoresOf = (lines) =>
  Object.keys(figures).filter((name) => name !== "loss" && lines.some((line) => name in line));
function testScore(test) {
  const [name] = [...scoresOf([test]), "loss"];
  return `test ${figures[name] ?? name} ${formatScore(test[name])}`;
}
const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function progressBar({ share }) {
  const attributes = {
    role: "progressbar",
    "aria-label": "Progress of the run",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": share === null ? null : Math.round(100 * share),
  };
  return h("div.progress", attributes, h("span", { style: `width:${100 * (share ?? 0)}%` }));
}

function epochTable(epochs) {
  if (!epochs.length) return "";
  const best = epochs.findLast((epoch) => epoch.best);
  const names = ["train_loss", "loss", ...scoresOf(epochs)];
  const titles = names.map((name) => (name === "train_loss" ? "Training loss" : capitalized(figures[name] ?? name)));
  const body = epochs.map((epoch) => {
    const cells = names.map((name) => h("td.number", formatScore(epoch[name])));
    const isBest = epoch === best;
    return h("tr", { class: isBest ? "best" : "" }, rowHead(`${epoch.epoch}${isBest ? " best" : ""}`), cells);
  });
  return h(
    "table.epochs",
    headRow(["Epoch", ...titles], (i) => i > 0),
    h("tbody", body),
  );
}

function charts({ steps, epochs }) {
  const ofEpochs = (name) => epochs.map((epoch) => [epoch.step, epoch[name]]);
  const training = steps.map(({ step, loss }) => [step, loss]);
  return h(
    "div.charts",
    chart("Loss", [
      { name: "training", kind: "a", points: training },
      { name: "validation", kind: "b", points: ofEpochs("loss"), dots: true },
    ]),
    chart(
      "Validation",
      scoresOf(epochs)
        .slice(0, 2)
        .map((name, i) => ({ name: figures[name], kind: "ab"[i], points: ofEpochs(name), dots: true })),
    ),
  );
}

function drawRun() {
  if (!run?.row) {
    detail.replaceChildren();
    return;
  }
  const { row } = run;
  const log = detail.querySelector(".log");
  const isReading = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4;
  const scrollTop = isReading ? log.scrollTop : null;
  const isOpen = detail.querySelector("details")?.open ?? false;
  const action = (label, name) => button(label, () => trigger(name, { run: row.key }), { "data-act": name });
  const content = [
    h("h3", row.key, " ", badge(row)),
    progressBar(row),
    h("p.quiet", progressText(row)),
    h("p", row.can_stop ? action("Stop", "stop") : "", row.can_resume ? action("Resume", "resume") : ""),
    row.error ? h("pre.notice.wrong", row.error) : "",
    charts(run),
    epochTable(run.epochs),
    h(
      "details",
      { open: isOpen },
      h("summary", { "data-act": "log-summary" }, "Log"),
      h("pre.log", { tabindex: "0", "data-act": "log" }, run.log || "no output yet"),
    ),
  ];
  keepFocus(detail, "data-act", () => detail.replaceChildren(...content));
  const newLog = detail.querySelector(".log");
  newLog.scrollTop = scrollTop ?? newLog.scrollHeight;
}

function chart(title, lines) {
  const [width, height] = [360, 150];
  const [left, right, top, bottom] = [52, width - 8, 8, height - 22];
  const isPoint = ([x, y]) => Number.isFinite(x) && Number.isFinite(y);
  const curves = lines.map((line) => ({ ...line, points: thinOut(line.points.filter(isPoint)) }));
  const points = curves.flatMap((curve) => curve.points);
  const keys = curves.map(({ name, kind }) => h("span.key", { class: `key-${kind}` }, name));
  const caption = h("figcaption", title, " ", keys);
  if (!points.length) return h("figure", caption, h("p.quiet", "no data yet"));
  const range = ranges(points);
  const x = scaleTo(range.x, [left, right]);
  const y = scaleTo(range.y, [bottom, top]);
  const latest = curves.filter((curve) => curve.points.length);
  const values = latest.map((curve) => `${curve.name} ${formatScore(curve.points.at(-1)[1])}`).join(", ");
  const grid = ticks(range.y).map(({ value, label }) => [
    h("line.grid", { x1: left, x2: right, y1: y(value), y2: y(value) }),
    h("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, label),
  ]);
  const lastStep = h("text", { x: right, y: height - 6, "text-anchor": "end" }, `step ${formatExact(range.x[1])}`);
  const drawn = curves.map(({ kind, points: own, dots }) => [
    h("polyline.curve", {
      class: `curve-${kind}`,
      points: own.map((point) => `${x(point[0]).toFixed(1)},${y(point[1]).toFixed(1)}`).join(" "),
    }),
    dots ? own.map((point) => h("circle.dot", { class: `dot-${kind}`, cx: x(point[0]), cy: y(point[1]), r: 3 })) : "",
  ]);
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: latest ${values}` };
  return h("figure", caption, h("svg", attributes, grid, lastStep, drawn));
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
  const isActive = run?.row && !ENDED.includes(run.row.status);
  if (isActive || Date.now() - lastPoll > LIST_INTERVAL) poll();
}
const timer = setInterval(tick, POLL_INTERVAL);
whenVisible(root, () => {
  pollStarted = 0;
  poll();
});

function selectFirst() {
  const stored = sessionStorage.getItem("archspec-run");
  const first = rows.find(({ key }) => key === stored) ?? rows[0];
  if (first) select(first.key);
}

function addPoints(update) {
  const state = () => JSON.stringify([run.row, run.log, run.version]);
  const before = state();
  if (update.restarted) Object.assign(run, { steps: [], epochs: [] });
  run.steps.push(...update.steps);
  run.epochs.push(...update.epochs);
  Object.assign(run, { offset: update.offset, version: update.version, log: update.log, row: update.row });
  if (update.restarted || update.more) setTimeout(poll, 0);
  if (update.restarted || update.steps.length || update.epochs.length || before !== state()) drawRun();
}

function receive() {
  const value = props.value;
  figures = value?.figures ?? figures;
  const newFields = JSON.stringify(value?.fields);
  if (value?.fields && newFields !== shownFields) {
    shownFields = newFields;
    fields = value.fields;
    keepFocus(form, "name", drawForm);
  }
  if (!value?.rows) return;
  pollStarted = 0;
  rows = value.rows;
  // The message about the last click stays while the page polls.
  if (value.error || value.event !== "poll") report(value.error ?? value.notice ?? "", Boolean(value.error));
  if (value.started) select(value.started);
  else if (!selected) selectFirst();
  const { update } = value;
  if (update && update.key === selected && update.start === run.offset) addPoints(update);
  else if (run && value.event !== "poll") {
    const row = rows.find(({ key }) => key === selected);
    if (row && row.status !== run.row?.status) {
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
