// Predictions for texts or images, with one model or two.
// Events: "text" "image" "rows" "file" "nearest" "inside" "examples" "sources"
import { addressed, setAddress } from "./address.js";
import { button, h, option } from "./dom.js";
import { formatExact, formatScore } from "./numbers.js";
import { on, onLatest } from "./page.js";
import { answerPanel } from "./predict_answers.js";
import { insidePanel } from "./predict_inside.js";
import { rowsTable } from "./predict_rows.js";
import { requestQueue } from "./requests.js";
import { readStored, writeStored } from "./stored.js";

const root = element.querySelector(".predict-view");
const EDITOR = "editor"; // in the address: the spec in the editor; all other models are runs
const STORED = "archspec-predict"; // the texts, for a reload
const MAX_IMAGE_BYTES = 20000000;
const MAX_INPUTS = 200;
const AT_ONCE = 20; // rows of one request
const LIST_INTERVAL = 4000;
const KEY_HELP = "Key of the state dict in the checkpoint, such as params_ema or teacher.";
const MODES = { one: "One text", lines: "Several texts", file: "A file" };

const textInput = (id, placeholder, attributes = {}) =>
  h("input", { type: "text", id, placeholder, spellcheck: "false", ...attributes });
const label = (id, name) => h("label", { for: id }, name);
const stack = (id, name, ...controls) => h("div.stack", label(id, name), controls);

const source = h("select", { id: "predict-source" }, option("", null, "Looking for models …"));
const moved = h("small.quiet", { role: "status" });
const other = h("select", { id: "predict-other" });
const weights = textInput("predict-weights", "file or folder with weights", { list: "predict-weights-list" });
const weightsList = h("datalist", { id: "predict-weights-list" });
const key = textInput("predict-key", "state_dict, model_state_dict or model, if present", {
  "aria-describedby": "help-predict-key",
});
const text = h("textarea", { id: "predict-text", rows: "4", placeholder: "Enter a text" });
const second = h("textarea", { id: "predict-second", rows: "4" });
const explain = h("input", { type: "checkbox", id: "predict-explain", checked: true });
const lines = h("textarea", { id: "predict-lines", rows: "6" });
const file = textInput("predict-file", "a table in the working folder", { list: "predict-files" });
const filesList = h("datalist", { id: "predict-files" });
const picture = h("input", { type: "file", accept: "image/*", multiple: true, id: "predict-image" });
const preview = h("div.preview");
const examples = h("div.examples");
const answer = h("div.answer", { role: "status", "aria-live": "polite" });

const modes = Object.entries(MODES).map(([name, shown]) => {
  const radio = h("input", { type: "radio", name: "predict-mode", value: name, onchange: changeMode });
  return h("label.inline", radio, ` ${shown}`);
});
const modePart = h("fieldset.modes", h("legend.hidden", "Input"), modes);
const explainLabel = h("label.inline", { for: "predict-explain" }, explain, " show how much each word contributes");
const secondPart = stack("predict-second", "Second text", second);
const onePart = h("div", stack("predict-text", "Text", text), secondPart, explainLabel);
const linesLabel = label("predict-lines", "Texts, one a line");
const linesPart = h("div.stack", linesLabel, lines);
const fileLabel = label("predict-file", "File");
const filePart = h("div.stack", fileLabel, file, filesList);
const imagePart = h("div.stack", label("predict-image", "Image"), picture, preview);
const specPart = h(
  "div.stack",
  label("predict-weights", "Weights"),
  weights,
  weightsList,
  label("predict-key", "Key of the weights"),
  key,
  h("small.quiet", { id: "help-predict-key" }, KEY_HELP),
);
const look = button("Look inside", lookInside, {
  title: "the activations of each module for this input, and where attention looks",
});
root.append(
  h(
    "div.fields.sources",
    stack("predict-source", "Model", source, moved),
    stack("predict-other", "Compare with", other),
  ),
  specPart,
  modePart,
  onePart,
  linesPart,
  filePart,
  imagePart,
  examples,
  h("p.go", button("Predict", predict, { class: "primary" }), look),
  answer,
);

let chosen = null; // the model that the address has; without one, it is the run that finished last
let isListed = false; // whether the list of models is of this visit of the tab
let isWaiting = false; // a click on Predict waits for that list
let isInputNext = false; // the visitor has just chosen a model on the tab Train
let visits = 0;
let listedAt = 0;
let kinds = {};
let pairs = {}; // whether a model takes, or may take, two texts
let missing = null; // a model that the address has and the list lacks
let latest = ""; // the run that finished last
let active = []; // the keys of the runs under way
let statuses = {}; // of the runs, by the names of their models
let said = ""; // what became of the choice
let shownSources = "";
let examplesOf = null;
let pictures = []; // `name`, `bytes`, `url`, and `read` for the content in base64
let mode = "one";
let turn = 0; // answers to what was asked before are not shown
const { ask, receive, drop } = requestQueue((event, data) => trigger(event, data));

// ---------------------------------------------------------------------------------------- inputs
const kindOf = (name) => kinds[name] ?? "text-classification";
const takesImages = (name = source.value) => kindOf(name).startsWith("image-");
const givesVectors = () => kindOf(source.value) === "text-embedding";
const isPair = () => Boolean(pairs[source.value]);

function showInputs() {
  const isText = !takesImages();
  const isVector = givesVectors();
  const shown = isVector ? "one" : mode;
  const isRun = source.value !== ""; // what a run takes is known, a spec may be for both
  modePart.hidden = !isText || isVector;
  onePart.hidden = !isText || shown !== "one";
  look.hidden = isText && shown !== "one";
  linesPart.hidden = !isText || shown !== "lines";
  filePart.hidden = !isText || !(shown === "file" || isVector);
  imagePart.hidden = isText;
  specPart.hidden = isRun;
  secondPart.hidden = !isPair();
  second.placeholder = isRun ? "Enter the second text" : "Leave this empty for a single text";
  explainLabel.hidden = kindOf(source.value) !== "text-classification" || (isPair() && isRun);
  linesLabel.textContent = isPair() ? "Texts, one a line, the second text behind a tab" : "Texts, one a line";
  fileLabel.textContent = isVector ? "Nearest texts in the file" : "File";
  for (const { value, parentElement } of root.querySelectorAll("[name=predict-mode]"))
    parentElement.firstChild.checked = value === mode;
}
function changeMode({ target }) {
  mode = target.value;
  showInputs();
  replaceAnswer();
  store();
}
function store() {
  const texts = { mode, text: text.value, second: second.value, lines: lines.value, file: file.value };
  writeStored(STORED, texts);
}
function restore() {
  weights.value = addressed("weights");
  key.value = addressed("key");
  const stored = readStored(STORED);
  for (const [name, control] of Object.entries({ text, second, lines, file })) control.value = stored[name] ?? "";
  if (stored.mode in MODES) ({ mode } = stored);
}
root.addEventListener("input", store);

for (const [name, control] of Object.entries({ weights, key }))
  control.addEventListener("change", () => setAddress({ [name]: control.value }));
source.addEventListener("change", () => {
  setAddress({ model: source.value || EDITOR });
  chosen = source.value;
  said = "";
  tellChoice();
  changeModel();
});
other.addEventListener("change", () => {
  setAddress({ with: other.value });
  replaceAnswer();
});
root.addEventListener("keydown", (event) => {
  const isField = event.target.matches("textarea") || event.target === file;
  if (isField && event.key === "Enter" && (event.ctrlKey || event.metaKey || event.target === file)) predict();
});
picture.addEventListener("change", () => {
  setPictures([...picture.files].map((found) => ({ name: found.name, bytes: found.size, content: found })));
});

function setPictures(found) {
  for (const { url } of pictures) URL.revokeObjectURL(url);
  pictures = found.map((one) => ({ ...one, url: URL.createObjectURL(one.content) }));
  preview.replaceChildren(...pictures.slice(0, 12).map(({ url, name }) => h("img", { src: url, alt: name })));
}
const inBase64 = ({ content }) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.split(",")[1] ?? ""));
    reader.addEventListener("error", () => reject(new Error("The file cannot be read.")));
    reader.readAsDataURL(content);
  });

// -------------------------------------------------------------------------------------- examples
async function askExamples() {
  const name = source.value;
  if (examplesOf === name) return;
  examplesOf = name;
  examples.replaceChildren();
  if (!name || kindOf(name) === "masked-lm") return; // its texts need a mask
  const { examples: found } = await ask("examples", { source: name });
  if (examplesOf !== name || !found?.length) return;
  examples.append(h("span.quiet", "Examples from its data:"), ...found.map(exampleButton));
}
function exampleButton(example) {
  const { text: first, second: next, image, label: given } = example;
  const title = given === null ? "an example" : `in the data: ${given}`;
  if (!image) {
    const shown = next ? `${first} | ${next}` : first;
    return button(h("span", shown), () => tryText(example), { class: "chip", title });
  }
  const content = new Blob([Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0))]);
  const url = URL.createObjectURL(content);
  const act = () => tryImage({ name: given ?? "example", bytes: content.size, content });
  return button(h("img", { src: url, alt: title }), act, { class: "chip", title });
}
function tryText(example) {
  text.value = example.text;
  second.value = example.second;
  mode = "one";
  store();
  showInputs();
  predict();
}
function tryImage(found) {
  setPictures([found]);
  picture.value = "";
  predict();
}

// ------------------------------------------------------------------------------------ predicting
// The answers to earlier requests, which may still arrive, are ignored from now on.
function replaceAnswer(...content) {
  turn += 1;
  isWaiting = false;
  drop(["text", "image", "rows", "file", "nearest", "inside"]);
  answer.replaceChildren(...content);
  return turn;
}
const showError = (message) => replaceAnswer(h("p.notice.wrong", message));

const models = () => [source.value, ...(other.value ? [other.value] : [])].map((name) => (name === EDITOR ? "" : name));
const nameOf = (name) => name || weights.value || "the spec in the editor";
const modelData = (name) => ({ source: name, weights: weights.value, key: key.value });

// The answer may be below the fold.
new MutationObserver(() => {
  if (answer.childElementCount && answer.offsetParent) answer.scrollIntoView({ block: "nearest" });
}).observe(answer, { childList: true });

function predict() {
  const mine = replaceAnswer(h("p.quiet", "Predicting …"));
  isWaiting = chosen === null && !isListed;
  if (isWaiting) return;
  if (takesImages()) predictPictures(mine);
  else if (givesVectors() && file.value) predictOne(mine, "nearest", { text: text.value, file: file.value });
  else if (givesVectors() || mode === "one") predictText(mine, text.value, isPair() ? second.value : "");
  else if (mode === "file") predictFile(mine);
  else predictLines(mine);
}
const predictText = (mine, first, next, place = answer, row = null) =>
  predictOne(mine, "text", { text: first, second: next, explain: explain.checked }, place, row);

// The whole answers of all models to one input, beside each other.
async function predictOne(mine, event, input, place = answer, row = null) {
  const panels = [];
  for (const name of models()) {
    const value = await ask(event, { ...modelData(name), ...input });
    if (mine !== turn) return;
    panels.push(answerPanel(nameOf(name), value, row));
  }
  place.replaceChildren(h("div.panels", panels));
}

// Of the first model alone.
async function lookInside() {
  const mine = replaceAnswer(h("p.quiet", "Looking …"));
  const [picked] = pictures;
  if (takesImages() && !picked) return void showError("Choose an image first.");
  if (picked?.bytes > MAX_IMAGE_BYTES) return void showError("The image is larger than 20 MB.");
  const [name] = models();
  const input = takesImages()
    ? { data: await inBase64(picked) }
    : { text: text.value, second: isPair() ? second.value : "" };
  const askMap = (map) => ask("inside", { ...modelData(name), ...input, map });
  const value = await askMap(0);
  if (mine === turn) answer.replaceChildren(insidePanel(nameOf(name), value, askMap));
}

function predictLines(mine) {
  const rows = lines.value.split("\n").filter((line) => line.trim());
  if (!rows.length) showError("Enter a text in each line.");
  else if (rows.length > MAX_INPUTS) showError(`Enter at most ${MAX_INPUTS} texts, or choose a file.`);
  else
    predictTexts(
      mine,
      rows.map((row) => (isPair() ? row.split("\t", 2) : [row])),
    );
}

async function predictFile(mine) {
  const data = { ...modelData(source.value), file: file.value };
  const { answer: found, error } = await ask("file", data);
  if (mine !== turn) return;
  if (error || !found.inputs.length) {
    answer.replaceChildren(h("pre.notice.wrong", error ?? "The file has no rows."));
    return;
  }
  const { inputs, total, columns } = found;
  const which = inputs.length < total ? `The first ${inputs.length} of ${formatExact(total)} rows` : "All rows";
  predictTexts(mine, inputs, h("p.quiet", `${which} of ${file.value}, column ${columns.join(" and ")}.`));
}

async function predictTexts(mine, inputs, note = "") {
  const detail = h("div.detail");
  const names = models();
  const open = (i) => {
    const [first, next = ""] = inputs[i];
    detail.replaceChildren(h("p.quiet", "Predicting …"));
    predictText(mine, first, next, detail, i + 1);
  };
  const table = rowsTable(
    inputs.map(([first, next]) => ({ text: first, second: next })),
    names.map(nameOf),
    open,
  );
  answer.replaceChildren(note, ...table.head, detail, table.body);
  for (let start = 0; start < inputs.length; start += AT_ONCE) {
    const few = inputs.slice(start, start + AT_ONCE);
    const texts = { texts: few.map(([first]) => first), seconds: few.map(([, next = ""]) => next) };
    for (const [i, name] of names.entries()) {
      const { answer: found, error } = await ask("rows", { ...modelData(name), ...texts });
      if (mine !== turn) return;
      if (error) {
        detail.replaceChildren(h("pre.notice.wrong", error));
        return;
      }
      table.fill(i, start, found.rows);
    }
  }
}

async function predictPictures(mine) {
  if (!pictures.length) return void showError("Choose an image first.");
  if (pictures.some(({ bytes }) => bytes > MAX_IMAGE_BYTES))
    return void showError(pictures.length > 1 ? "An image is larger than 20 MB." : "The image is larger than 20 MB.");
  if (pictures.length > MAX_INPUTS) return void showError(`Choose at most ${MAX_INPUTS} images.`);
  try {
    if (pictures.length === 1) await predictOne(mine, "image", { data: await inBase64(pictures[0]) });
    else await predictAlbum(mine, pictures);
  } catch (error) {
    showError(error.message);
  }
}

async function predictAlbum(mine, album) {
  const detail = h("div.detail");
  const names = models();
  const open = async (i) => predictOne(mine, "image", { data: await inBase64(album[i]) }, detail, i + 1);
  const inputs = album.map(({ name, url }) => ({ text: name, url }));
  const table = rowsTable(inputs, names.map(nameOf), open);
  answer.replaceChildren(...table.head, detail, table.body);
  for (const [i, one] of album.entries()) {
    const data = await inBase64(one);
    for (const [model, name] of names.entries()) {
      const value = await ask("image", { ...modelData(name), data });
      if (mine !== turn) return;
      table.fill(model, i, [imageRow(value)]);
    }
  }
}
function imageRow({ answer: found, error }) {
  if (error) return { error };
  if (found.mask) return { label: found.mask.classes.map((one) => one.label).join(", ") };
  if (found.threshold === null) return found.labels[0];
  const given = found.labels.filter(({ probability }) => probability >= found.threshold);
  return { label: given.map((one) => one.label).join(", ") || "–" };
}

// -------------------------------------------------------------------------------- list of models
function addressedModel() {
  const name = addressed("model");
  if (!name) return null;
  return name === EDITOR ? "" : name;
}
function choose() {
  chosen = addressedModel();
  source.value = chosen ?? latest;
  missing = source.selectedIndex < 0 ? chosen : null; // not there yet, or not any more
  if (missing !== null) {
    source.value = latest;
    chosen = null;
  }
  drawOthers();
  showInputs();
  askExamples();
}
function changeModel() {
  drawOthers();
  showInputs();
  replaceAnswer();
  askExamples();
}
// Models that take the same inputs.
function drawOthers() {
  const isPossible = (name) => name !== source.value && takesImages(name) === takesImages();
  const runs = Object.keys(kinds).filter((name) => name && isPossible(name));
  const spec = isPossible("") ? [option(EDITOR, null, "the spec in the editor")] : [];
  other.replaceChildren(option("", null, "no other model"), ...spec, ...runs.map((name) => option(name)));
  other.value = addressed("with");
  if (other.selectedIndex < 0) other.value = "";
}

function drawSources(sources) {
  const { runs, spec } = sources;
  const before = source.value;
  const isFirst = shownSources === "";
  shownSources = JSON.stringify(sources);
  kinds = Object.fromEntries([["", sources.kind], ...runs.map((run) => [run.name, run.kind])]);
  statuses = Object.fromEntries(runs.map(({ name, status }) => [name, status]));
  pairs = Object.fromEntries([["", sources.pair], ...runs.map((run) => [run.name, run.pair])]);
  const runOptions = runs.map(({ name, score }) => {
    const shown = score ? `${score.name} ${formatScore(score.value)}, ` : ""; // the end of the name may be cut
    return option(name, null, shown + name);
  });
  source.replaceChildren(
    option("", null, `${spec} from the editor, with weights`),
    h("optgroup", { label: "Runs" }, runOptions),
  );
  latest = (runs.find(({ status }) => status === "finished") ?? runs[0])?.name ?? "";
  const wasMissing = missing;
  choose();
  const hasMoved = !isFirst && chosen === null && source.value !== before;
  if (missing !== null) said = `${missing} is not there.`;
  else if (hasMoved) said = "The run that finished last.";
  else if (wasMissing !== null) said = "";
  tellChoice();
  weightsList.replaceChildren(...sources.weights.map(({ name }) => option(name)));
  filesList.replaceChildren(...sources.files.map((name) => option(name)));
}

// What became of the choice, and what is to be known of the run: without a choice, it is the one that finished last.
function tellChoice() {
  const isUnfinished = statuses[source.value] === "running";
  const isAwaited = chosen === null && !isUnfinished && active.length > 0;
  const state = isUnfinished
    ? "This run is under way: these are the weights of its best epoch so far."
    : isAwaited
      ? `${active[0]} is under way: it is chosen here when it has finished.`
      : "";
  moved.textContent = [said, state].filter(Boolean).join(" ");
}
onLatest("active-runs", (rows) => {
  active = rows.map(({ key: name }) => name);
  tellChoice();
});

async function askSources() {
  const visit = visits;
  drop(["sources"]);
  listedAt = Date.now();
  const { sources } = await ask("sources", {});
  if (!sources) return;
  if (JSON.stringify(sources) !== shownSources) drawSources(sources);
  isListed = visit === visits;
  if (isListed && isInputNext) {
    isInputNext = false;
    [text, picture].find((one) => one.checkVisibility())?.focus({ preventScroll: true });
  }
  if (isListed && isWaiting) predict();
}
// What was trained meanwhile is in the list as soon as the tab is shown, and what is trained now when it has finished.
new IntersectionObserver((entries) => {
  visits += 1;
  isListed = false;
  if (entries.at(-1).isIntersecting) askSources();
}).observe(root);
on("revision", () => {
  if (root.offsetParent) askSources();
});
const timer = setInterval(() => {
  if (!document.body.contains(root)) clearInterval(timer);
  else if (!document.hidden && root.offsetParent && Date.now() - listedAt > LIST_INTERVAL) askSources();
}, 1000);
// Back, forward, and "Predict with this model": a run that the list lacks is in the next one.
function follow() {
  restore();
  said = "";
  if (!shownSources) return;
  choose();
  tellChoice();
  replaceAnswer();
  askSources();
}
window.addEventListener("popstate", () => {
  if (source.value !== (addressedModel() ?? latest) || other.value !== addressed("with")) follow();
});
onLatest("try-run", (how) => {
  isInputNext = how === "chosen";
  follow();
});

restore();
showInputs();
watch("value", () => receive(props.value));
