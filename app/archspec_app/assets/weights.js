// What the values of a checkpoint are like, tensor by tensor. Events: "files", "describe"
import { button, h, headRow, option, rowHead, scrollable } from "./dom.js";
import { formatExact, formatPercent } from "./numbers.js";
import { addressed } from "./address.js";
import { oneAtATime, whenVisible } from "./page.js";
import { formatValue } from "./value_format.js";

const root = element.querySelector(".weights-view");
const choice = h("select", { name: "weights", "aria-label": "Weights", onchange: describe });
const search = h("input", { type: "search", "aria-label": "Search tensors", placeholder: "Search tensors" });
const noted = h("input", { type: "checkbox" });
const message = h("p.said", { role: "status" });
const place = h("div");
root.append(
  h("div.bar", choice, button("Read again", describe), search, h("label", noted, " only those with a note")),
  message,
  place,
);

let shown = null;
let data = null;
const { ask, done } = oneAtATime(() => trigger("files", {}));

function describe() {
  if (!choice.value) return;
  message.textContent = `Reading ${choice.value} …`;
  place.classList.add("old");
  trigger("describe", { file: choice.value });
}

const WIDTH = 84;
const HEIGHT = 22;
function histogram(counts) {
  const most = Math.max(...counts, 1);
  const x = (i) => ((i * WIDTH) / counts.length).toFixed(1);
  const y = (count) => (HEIGHT - (HEIGHT * count) / most).toFixed(1);
  const steps = counts.map((count, i) => `${x(i)},${y(count)} ${x(i + 1)},${y(count)}`);
  const points = `0,${HEIGHT} ${steps.join(" ")} ${WIDTH},${HEIGHT}`;
  return h(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    h("polyline", { points }),
  );
}

// A long name goes on in another line behind a dot.
const brokenAtDots = (name) => name.split(/(?<=\.)/).map((part, i) => [i ? h("wbr") : "", part]);

function row(tensor) {
  const { name, shape, dtype, mean, std, lowest, highest, zeros, notes } = tensor;
  return h(
    "tr",
    { class: notes.length ? "noted" : "" },
    rowHead(h("span.tensor", brokenAtDots(name)), notes.length ? h("span.note", notes.join("; ")) : ""),
    h("td", { title: dtype }, `[${shape.join(", ")}]`),
    h("td", histogram(tensor.histogram)),
    [mean, std, lowest, highest].map((value) => h("td.number", formatValue(value))),
    h("td.number", formatPercent(zeros)),
  );
}

const HEADS = ["Tensor", "Shape", "Histogram", "Mean", "Std. dev.", "Lowest", "Highest", "Zeros"];

function drawTable() {
  if (!data) return;
  const wanted = search.value.trim().toLowerCase();
  const rows = data.tensors.filter(
    ({ name, notes }) => name.toLowerCase().includes(wanted) && (!noted.checked || notes.length),
  );
  const count = data.tensors.filter(({ notes }) => notes.length).length;
  const all = data.tensors.length + data.left_out;
  const rest = data.left_out ? `; ${formatExact(data.left_out)} without a note are not shown` : "";
  const tensors = all === 1 ? "1 tensor" : `${formatExact(all)} tensors`;
  message.textContent = `${data.file}: ${tensors}, ${formatExact(count)} with a note${rest}`;
  place.classList.remove("old");
  const table = h(
    "table",
    headRow(HEADS, (i) => i > 2),
    h("tbody", rows.map(row)),
  );
  place.replaceChildren(rows.length ? scrollable("Tensors", table) : h("p.quiet", "No tensor is shown."));
}

function drawFiles(runs, files) {
  const chosen = choice.value;
  const group = (label, names) => {
    const options = names.map((name) => option(name, chosen));
    return options.length ? [h("optgroup", { label }, options)] : [];
  };
  choice.replaceChildren(
    option("", chosen, "Choose weights …"),
    ...group("Runs", runs),
    ...group("Checkpoints", files),
  );
  if (!runs.length && !files.length)
    message.textContent = "There are no weights in this folder: train a model, or copy a checkpoint.";
  if (chosen || !runs.length) return;
  const ofTrain = `runs/${addressed("run")}`; // the run that is looked at, or the latest
  choice.value = runs.includes(ofTrain) ? ofTrain : runs[0];
  describe();
}

function draw() {
  const value = props.value;
  if (value?.answer_id === undefined || shown === value.answer_id) return;
  shown = value.answer_id;
  if (value.files) {
    done();
    drawFiles(value.runs, value.files);
  } else if (value.error) {
    done();
    message.textContent = value.error;
  } else if (value.tensors && value.file === choice.value) {
    data = value;
    drawTable();
  }
}
search.addEventListener("input", drawTable);
noted.addEventListener("change", drawTable);
watch("value", draw);
whenVisible(root, ask);
