// Starting, following, stopping and resuming runs. Events: "start" "stop" "resume" "poll"
const root = element.querySelector(".train-view");
const POLL = 1000, LIST = 4000;
let fields = null, rows = [], chosen = null, series = null, lastList = 0, waiting = 0, told = "", defaults = {}, listed = "";

const form = h("form", { class: "train-form" });
const notice = h("p", { class: "notice", role: "status" });
const list = h("div", { class: "runs" });
const detail = h("div", { class: "run" });
root.append(form, notice, h("h3", {}, "Runs"), list, detail);

function input(field) {
  const common = { name: field.name, id: `train-${field.name}`, "aria-describedby": field.help ? `help-train-${field.name}` : null };
  if (field.choices) return h("select", common, field.choices.map((one) => h("option", { value: one, selected: one === field.value }, one || "nothing frozen")));
  if (field.type === "number") return h("input", { ...common, type: "number", step: "any", min: field.min, max: field.max, value: field.value, placeholder: field.placeholder });
  return h("input", { ...common, type: "text", value: field.value, placeholder: field.placeholder, spellcheck: "false",
    list: field.suggestions ? `list-${field.name}` : null });
}
const shown = (field) => h("label", {}, h("span", {}, field.label), input(field),
  field.help ? h("small", { class: "quiet", id: `help-train-${field.name}` }, field.help) : "",
  field.suggestions ? h("datalist", { id: `list-${field.name}` }, field.suggestions.map((one) => h("option", { value: one }))) : "");

function drawForm() {
  const kept = Object.fromEntries([...form.elements].filter((one) => one.name).map((one) => [one.name, one.value]));
  const wasOpen = form.querySelector("details")?.open ?? false;
  const focused = form.contains(document.activeElement) ? document.activeElement.name : null;
  form.replaceChildren(
    h("div", { class: "fields" }, fields.main.map(shown)),
    h("details", { open: wasOpen }, h("summary", {}, "More options"), h("div", { class: "fields" }, fields.more.map(shown))),
    h("button", { type: "submit", class: "primary" }, "Start training"));
  // What was chosen stays; a plan that was chosen elsewhere since then comes first.
  const before = defaults;
  defaults = Object.fromEntries([...fields.main, ...fields.more].map((field) => [field.name, field.value]));
  for (const [name, value] of Object.entries(kept)) {
    const at = form.elements.namedItem(name);
    if (at && defaults[name] === before[name] && (at.tagName !== "SELECT" || [...at.options].some((one) => one.value === value))) at.value = value;
  }
  if (focused) form.elements.namedItem(focused)?.focus();
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const options = {};
  for (const at of form.elements) {
    if (!at.name || at.value === "") continue;
    options[at.name] = at.type === "number" ? at.valueAsNumber : at.value;
  }
  say("starting …");
  trigger("start", { options });
});

function say(text, wrong = false) {
  notice.textContent = text;
  notice.classList.toggle("wrong", wrong);
}
const clock = (seconds) => {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  const parts = whole >= 3600 ? [`${Math.floor(whole / 3600)} h`, `${Math.floor(whole % 3600 / 60)} min`]
    : whole >= 60 ? [`${Math.floor(whole / 60)} min`, `${whole % 60} s`] : [`${whole} s`];
  return parts.join(" ");
};
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const score = (found) => (found ? `${found.name} ${found.value.toFixed(4)}` : "");

function drawList() {
  if (!rows.length) { list.replaceChildren(h("p", { class: "quiet" }, "No runs in this folder yet.")); return; }
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.run : null;
  list.replaceChildren(h("table", {}, h("thead", {}, h("tr", {}, ["Run", "Status", "Done", "Best"].map((one, i) => h("th", { scope: "col", class: i > 1 ? "number" : "" }, one)))),
    h("tbody", {}, rows.map((row) => h("tr", { "data-run": row.key, class: row.key === chosen ? "chosen" : "" },
      h("td", {}, h("button", { type: "button", class: "link", "aria-pressed": String(row.key === chosen), onclick: () => choose(row.key) }, row.key)),
      h("td", {}, h("span", { class: `badge status-${row.status}` }, row.status)),
      h("td", { class: "number" }, row.share === null ? "–" : percent(row.share)),
      h("td", { class: "number" }, score(row.best)))))));
  if (focused) list.querySelector(`tr[data-run="${CSS.escape(focused)}"] button`)?.focus();
}

function choose(key) {
  chosen = key;
  series = { steps: [], epochs: [], test: null, offset: 0, version: 0, log: "", row: rows.find((row) => row.key === key) };
  sessionStorage.setItem("archspec-run", key);
  drawList();
  drawRun();
  poll();
}

function drawRun() {
  if (!chosen || !series?.row) { detail.replaceChildren(); return; }
  const { row } = series;
  const steps = row.steps ? `step ${row.step.toLocaleString("en")} of ${row.steps.toLocaleString("en")}` : row.step ? `step ${row.step}` : "";
  const best = series.epochs.findLast((one) => one.best);
  const focused = detail.contains(document.activeElement) ? document.activeElement.dataset.act : null;
  const log = detail.querySelector(".log"), read = log && log.scrollTop + log.clientHeight < log.scrollHeight - 4 ? log.scrollTop : null;
  const wasOpen = detail.querySelector("details")?.open ?? false;
  detail.replaceChildren(
    h("h3", {}, row.key, " ", h("span", { class: `badge status-${row.status}` }, row.status)),
    h("div", { class: "progress", role: "progressbar", "aria-label": "Progress of the run", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-valuenow": row.share === null ? null : Math.round(100 * row.share) }, h("span", { style: `width:${100 * (row.share ?? 0)}%` })),
    h("p", { class: "quiet" }, [row.epochs ? `epoch ${row.epoch} of ${row.epochs}` : "", steps, row.seconds === null ? "" : `${clock(row.seconds)}${row.can_stop ? " so far" : ""}`,
      row.can_stop && row.seconds_left !== null ? (row.seconds_left < 1 ? "nearly done" : `about ${clock(row.seconds_left)} left`) : "",
      row.best ? `best ${score(row.best)}` : "", row.test ? `test accuracy ${row.test.accuracy?.toFixed(4) ?? "–"}` : ""].filter(Boolean).join(" · ")),
    h("p", {}, row.can_stop ? h("button", { type: "button", "data-act": "stop", onclick: () => trigger("stop", { run: row.key }) }, "Stop") : "",
      row.can_resume ? h("button", { type: "button", "data-act": "resume", onclick: () => trigger("resume", { run: row.key }) }, "Resume") : ""),
    row.error ? h("pre", { class: "notice wrong" }, row.error) : "",
    h("div", { class: "charts" },
      chart("Loss", [
        { name: "training", points: series.steps.map((one) => [one.step, one.loss]), kind: "a" },
        { name: "validation", points: series.epochs.map((one) => [one.step, one.loss]), kind: "b", dots: true }]),
      chart("Validation", [
        { name: "accuracy", points: series.epochs.map((one) => [one.step, one.accuracy]), kind: "a", dots: true },
        { name: "macro F1", points: series.epochs.map((one) => [one.step, one.macro_f1]), kind: "b", dots: true }])),
    series.epochs.length ? h("table", { class: "epochs" }, h("thead", {}, h("tr", {}, ["Epoch", "Training loss", "Loss", "Accuracy", "Macro F1"].map((one, i) => h("th", { scope: "col", class: i ? "number" : "" }, one)))),
      h("tbody", {}, series.epochs.map((one) => h("tr", { class: one === best ? "best" : "" }, h("th", { scope: "row" }, `${one.epoch}${one === best ? " best" : ""}`),
        [one.train_loss, one.loss, one.accuracy, one.macro_f1].map((value) => h("td", { class: "number" }, value === null || value === undefined ? "–" : value.toFixed(4))))))) : "",
    h("details", { open: wasOpen }, h("summary", { "data-act": "said" }, "What it said"), h("pre", { class: "log", tabindex: "0", "data-act": "log" }, series.log || "nothing yet")));
  const scrolls = detail.querySelector(".log");
  scrolls.scrollTop = read ?? scrolls.scrollHeight;
  if (focused) detail.querySelector(`[data-act="${focused}"]`)?.focus();
}

function chart(title, lines) {
  const W = 360, H = 150, left = 52, bottom = 22, top = 8, right = 8;
  const drawn = lines.map((line) => ({ ...line, points: thin(line.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y))) }));
  const all = drawn.flatMap((line) => line.points);
  const legend = h("figcaption", {}, title, " ", drawn.map((line) => h("span", { class: `key key-${line.kind}` }, line.name)));
  if (!all.length) return h("figure", {}, legend, h("p", { class: "quiet" }, "no points yet"));
  const xs = all.map(([x]) => x), ys = all.map(([, y]) => y);
  const x0 = Math.min(...xs, 0), x1 = Math.max(...xs, 1);
  let y0 = Math.min(...ys), y1 = Math.max(...ys);
  if (y0 === y1) { y0 -= 0.5; y1 += 0.5; }
  const X = (x) => left + (W - left - right) * (x - x0) / (x1 - x0);
  const Y = (y) => H - bottom - (H - bottom - top) * (y - y0) / (y1 - y0);
  const ticks = [y0, (y0 + y1) / 2, y1];
  const last = drawn.map((line) => (line.points.length ? `${line.name} ${line.points.at(-1)[1].toFixed(4)}` : "")).filter(Boolean).join(", ");
  return h("figure", {}, legend, h("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: latest ${last}` },
    ticks.map((y) => [h("line", { x1: left, x2: W - right, y1: Y(y), y2: Y(y), class: "grid" }), h("text", { x: left - 5, y: Y(y) + 4, "text-anchor": "end" }, y.toPrecision(3))]),
    h("text", { x: W - right, y: H - 6, "text-anchor": "end" }, `step ${x1.toLocaleString("en")}`),
    drawn.map((line) => [h("polyline", { class: `curve curve-${line.kind}`, points: line.points.map(([x, y]) => `${X(x).toFixed(1)},${Y(y).toFixed(1)}`).join(" ") }),
      line.dots ? line.points.map(([x, y]) => h("circle", { class: `dot dot-${line.kind}`, cx: X(x), cy: Y(y), r: 3 })) : ""])));
}
// A curve of a million points is drawn as a thousand: the least and the most of each stretch.
function thin(points, most = 500) {
  if (points.length <= 2 * most) return points;
  const size = Math.ceil(points.length / most), found = [];
  for (let i = 0; i < points.length; i += size) {
    const part = points.slice(i, i + size);
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a)), high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    found.push(...(low[0] <= high[0] ? [low, high] : [high, low]));
  }
  return found;
}

function poll() {
  if (waiting && Date.now() - waiting < 10000) return;
  waiting = Date.now();
  lastList = Date.now();
  trigger("poll", chosen ? { run: chosen, after: series.offset, version: series.version } : {});
}
function tick() {
  if (!document.body.contains(root)) return clearInterval(timer);
  if (document.hidden || !root.offsetParent) return;
  const active = series?.row && !["finished", "stopped", "failed", "killed"].includes(series.row.status);
  if (active || Date.now() - lastList > LIST) poll();
}
const timer = setInterval(tick, POLL);
whenSeen(root, () => { waiting = 0; poll(); });

function receive() {
  const found = props.value;
  if (found?.fields) {
    const now = JSON.stringify(found.fields);
    if (now !== told) { told = now; fields = found.fields; drawForm(); }
  }
  if (!found?.rows) return;
  waiting = 0;
  rows = found.rows;
  // What was said of the last click stays, whatever is polled.
  if (found.error || found.act !== "poll") say(found.error ?? found.notice ?? "", Boolean(found.error));
  if (found.started) choose(found.started);
  else if (!chosen) {
    const kept = sessionStorage.getItem("archspec-run");
    const first = rows.find((row) => row.key === kept) ?? rows[0];
    if (first) choose(first.key);
  }
  const points = found.points;
  if (points && points.key === chosen && points.after === series.offset) {
    if (points.anew) Object.assign(series, { steps: [], epochs: [], test: null });
    series.steps.push(...points.steps);
    series.epochs.push(...points.epochs);
    const shown = JSON.stringify([series.row, series.log, series.version]);
    Object.assign(series, { offset: points.offset, version: points.version, log: points.log, row: points.row });
    if (points.anew || points.more) setTimeout(poll, 0);
    if (points.anew || points.steps.length || points.epochs.length || shown !== JSON.stringify([points.row, points.log, points.version])) drawRun();
  } else if (series && found.act !== "poll") {
    const now = rows.find((row) => row.key === chosen);
    if (now && now.status !== series.row?.status) { series.row = now; drawRun(); }
  }
  const now = JSON.stringify([rows, chosen]);
  if (now !== listed) { listed = now; drawList(); }
}
watch("value", receive);
receive();
