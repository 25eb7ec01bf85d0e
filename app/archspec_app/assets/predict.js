// Predictions for a text or an image. Events: "text" "image" "sources"
import { addressed, setAddress } from "./address.js";
import { button, h, headRow, meter, option, rowHead } from "./dom.js";
import { formatExact, formatProbability, formatScore } from "./numbers.js";
import { on } from "./page.js";

const root = element.querySelector(".predict-view");
const EDITOR = "editor"; // in the address: the spec in the editor; all other models are runs
const MAX_IMAGE_BYTES = 20000000;
const LIST_INTERVAL = 4000;
const LIST_TIMEOUT = 15000;
const KEY_HELP = "Key of the state dict in the checkpoint, such as params_ema or teacher.";

const textInput = (id, placeholder, attributes = {}) =>
  h("input", { type: "text", id, placeholder, spellcheck: "false", ...attributes });
const source = h("select", { id: "predict-source" }, option("", null, "Looking for models …"));
const moved = h("small.quiet", { role: "status" });
const weights = textInput("predict-weights", "file or folder with weights", { list: "predict-weights-list" });
const weightsList = h("datalist", { id: "predict-weights-list" });
const key = textInput("predict-key", "state_dict, model_state_dict or model, if present", {
  "aria-describedby": "help-predict-key",
});
const text = h("textarea", { id: "predict-text", rows: "4", placeholder: "Enter a text" });
const second = h("textarea", { id: "predict-second", rows: "4" });
const explain = h("input", { type: "checkbox", id: "predict-explain", checked: true });
const picture = h("input", { type: "file", accept: "image/*", id: "predict-image" });
const preview = h("div.preview");
const answer = h("div.answer", { role: "status", "aria-live": "polite" });

const label = (id, name) => h("label", { for: id }, name);
const explainLabel = h("label.inline", { for: "predict-explain" }, explain, " show how much each word contributes");
const secondPart = h("div.stack", label("predict-second", "Second text"), second);
const textPart = h("div.stack", label("predict-text", "Text"), text, secondPart, explainLabel);
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
root.append(
  h("div.fields.sources", h("div.stack", label("predict-source", "Model"), source, moved), specPart),
  textPart,
  imagePart,
  h("p.go", button("Predict", predict, { class: "primary" })),
  answer,
);

let chosen = null; // the model that the address has; without one, it is the run that finished last
let isListed = false; // whether the list of models is of this visit of the tab
let isWaiting = false; // a click on Predict waits for that list
let listId = 0;
let askedAt = 0;
let answering = ""; // the name of the model that was asked
let kinds = {};
let pairs = {}; // whether a model takes, or may take, two texts
let latest = ""; // the run that finished last
let shownSources = "";
let requestId = 0;

const kind = () => kinds[source.value] ?? "text-classification";
const takesImages = () => kind().startsWith("image-");
function showInputs() {
  const isImage = takesImages();
  textPart.hidden = isImage;
  imagePart.hidden = !isImage;
  specPart.hidden = source.value !== "";
  const mayBePair = Boolean(pairs[source.value]);
  const isRun = source.value !== ""; // what a run takes is known, a spec may be for both
  secondPart.hidden = !mayBePair;
  second.placeholder = isRun ? "Enter the second text" : "Leave this empty for a single text";
  explainLabel.hidden = kind() === "text-embedding" || (mayBePair && isRun);
}
for (const [name, control] of Object.entries({ weights, key }))
  control.addEventListener("change", () => setAddress({ [name]: control.value }));
source.addEventListener("change", () => {
  setAddress({ model: source.value || EDITOR });
  chosen = source.value;
  moved.textContent = "";
  showInputs();
  replaceAnswer();
});
for (const area of [text, second])
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) predict();
  });
picture.addEventListener("change", () => {
  const file = picture.files[0];
  preview.replaceChildren(file ? h("img", { src: URL.createObjectURL(file), alt: file.name }) : "");
});

// The answers to earlier requests, which may still arrive, are ignored from now on.
function replaceAnswer(...content) {
  requestId += 1;
  answer.replaceChildren(...content);
}
const showBusy = () => replaceAnswer(h("p.quiet", "Predicting …"));
const showError = (message) => replaceAnswer(h("p.notice.wrong", message));

function predict() {
  isWaiting = chosen === null && !isListed;
  if (isWaiting) {
    showBusy();
    return;
  }
  answering = source.value || weights.value;
  const model = { source: source.value, weights: weights.value, key: key.value };
  if (!takesImages()) {
    showBusy();
    const texts = { text: text.value, second: pairs[source.value] ? second.value : "" };
    trigger("text", { ...model, ...texts, request_id: String(requestId), explain: explain.checked });
    return;
  }
  const file = picture.files[0];
  if (!file) showError("Choose an image first.");
  else if (file.size > MAX_IMAGE_BYTES) showError("The image is larger than 20 MB.");
  else {
    showBusy();
    sendImage(file, { ...model, request_id: String(requestId) });
  }
}
function sendImage(file, request) {
  const reader = new FileReader();
  reader.addEventListener("load", () => trigger("image", { ...request, data: reader.result.split(",")[1] }));
  reader.addEventListener("error", () => showError("The file cannot be read."));
  reader.readAsDataURL(file);
}

// -------------------------------------------------------------------------------------- answers
function probabilityTable({ labels, rest, threshold }) {
  const isGiven = (probability, i) => (threshold === null ? i === 0 : probability !== null && probability >= threshold);
  const others = rest ? [{ label: `${formatExact(rest.count)} others`, probability: rest.probability }] : [];
  const head = headRow(["Label", "Bar", "Probability"]);
  head.classList.add("hidden");
  const rows = [...labels, ...others].map(({ label: name, probability }, i) => {
    const isBest = isGiven(probability, i);
    if (probability === null) return h("tr", rowHead(name), h("td.bar-cell"), h("td.number", "–"));
    const value = h("td.number", { title: String(probability) }, formatProbability(probability));
    return h("tr", { class: isBest ? "best" : "" }, rowHead(name), h("td.bar-cell", meter(probability)), value);
  });
  if (threshold === null) return h("table.bars", head, h("tbody", rows));
  const count = labels.filter(({ probability }) => probability >= threshold).length;
  const given = count === 1 ? "1 label is" : `${formatExact(count)} labels are`;
  const explained = h(
    "p.quiet",
    `${given} given: those of a probability of ${threshold} or more, the mark on the bars.`,
  );
  const style = `--threshold:${100 * threshold}%`;
  return h("div", h("table.bars.several", { style }, head, h("tbody", rows)), explained);
}

function word({ text: letters, score, share }) {
  if (score === null) return letters;
  const value = score.toFixed(3);
  const sign = score < 0 ? "−" : "+";
  const attributes = {
    class: score < 0 ? "against" : "for",
    style: `--share:${Math.abs(share).toFixed(3)}`,
    tabindex: "0",
    role: "img",
    "aria-label": `${letters}: ${value}`,
    title: `adds ${value} to the logit`,
  };
  return h("span.word", attributes, letters, h("sub", { "aria-hidden": "true" }, Math.abs(share) >= 0.15 ? sign : ""));
}

function contributions(found) {
  if (!found) return "";
  if (found.too_long) {
    const count = formatExact(found.too_long);
    return h("p.quiet", `The text has ${count} tokens, too many to compute what each word contributes.`);
  }
  const { steps, logit, baseline, gap, unread } = found;
  const method =
    `Integrated gradients, ${steps} steps: the logit is ${logit.toFixed(3)}, that of an empty text ` +
    `${baseline.toFixed(3)}; the contributions add up to the difference, with an error of ${Math.abs(gap).toFixed(3)}.`;
  const characters = unread === 1 ? "character is" : `${formatExact(unread)} characters are`;
  const rest = unread ? ` The last ${characters} beyond the model's maximum length.` : "";
  return h(
    "section",
    h("h3", `What each word contributes to ${found.label}: + for, − against`),
    h("p.saliency", found.segments.map(word)),
    h("p.quiet", method + rest),
  );
}

function truncation({ truncated }) {
  if (!truncated) return "";
  const { tokens, max_length: read } = truncated;
  const counts = `the model read ${formatExact(read)} of its ${formatExact(tokens)} tokens`;
  return h("p.notice", `The text was truncated: ${counts}.`);
}

function embedding({ size, norm, first }) {
  const numbers = first.map((value) => value.toFixed(5)).join("  ");
  return [h("p", `An embedding of size ${size}, norm ${formatScore(norm)}:`), h("pre.code", `${numbers} …`)];
}

function continuation({ text: prompt, continuation: added, tokens, ended }) {
  const count = tokens === 1 ? "1 token" : `${formatExact(tokens)} tokens`;
  const note = ended ? `${count} added; the text ends here.` : `${count} added, the most this page asks for.`;
  return [h("p.saliency", prompt, h("strong", added)), h("p.quiet", note)];
}

function answerParts(found) {
  if (found.labels) return [truncation(found), probabilityTable(found), contributions(found.saliency)];
  if ("continuation" in found) return continuation(found);
  return "value" in found ? [truncation(found), number(found)] : [truncation(found), ...embedding(found)];
}

const number = ({ value }) => h("p.value", { title: String(value) }, formatScore(value));

function addressedModel() {
  const name = addressed("model");
  if (!name) return null;
  return name === EDITOR ? "" : name;
}
function readWeights() {
  weights.value = addressed("weights");
  key.value = addressed("key");
}
function choose() {
  chosen = addressedModel();
  source.value = chosen ?? latest;
  if (source.selectedIndex < 0) {
    moved.textContent = `${chosen} is not there.`; // not yet, or not any more
    source.value = latest;
    chosen = null;
  }
  showInputs();
}

function drawSources(sources) {
  const { runs, spec } = sources;
  const before = source.value;
  const isFirst = shownSources === "";
  shownSources = JSON.stringify(sources);
  kinds = Object.fromEntries([["", sources.kind], ...runs.map((run) => [run.name, run.kind])]);
  pairs = Object.fromEntries([["", sources.pair], ...runs.map((run) => [run.name, run.pair])]);
  const runOptions = runs.map(({ name, score }) => {
    const shown = score ? `, ${score.name} ${formatScore(score.value)}` : "";
    return option(name, null, name + shown);
  });
  source.replaceChildren(
    option("", null, `${spec} from the editor, with weights`),
    h("optgroup", { label: "Runs" }, runOptions),
  );
  latest = (runs.find(({ status }) => status === "finished") ?? runs[0])?.name ?? "";
  choose();
  if (!isFirst && chosen === null && source.value !== before) moved.textContent = "The run that finished last.";
  weightsList.replaceChildren(...sources.weights.map(({ name }) => option(name)));
}

function draw() {
  const value = props.value;
  if (!value) return;
  if (value.sources && JSON.stringify(value.sources) !== shownSources) drawSources(value.sources);
  if (value.request_id === `list ${listId}`) {
    isListed = true;
    if (isWaiting) predict();
  }
  if (value.request_id !== String(requestId)) return;
  const found = value.answer;
  if (value.error) answer.replaceChildren(h("pre.notice.wrong", value.error));
  else if (found) answer.replaceChildren(h("p.quiet", `Answer of ${answering}`), ...answerParts(found));
}
readWeights();
watch("value", draw);
draw();

// -------------------------------------------------------------------------------- list of models
function askSources() {
  listId += 1;
  askedAt = Date.now();
  trigger("sources", { request_id: `list ${listId}` });
}
// What was trained meanwhile is in the list as soon as the tab is shown, and what is trained now when it has finished.
new IntersectionObserver((entries) => {
  isListed = false;
  if (entries.at(-1).isIntersecting) askSources();
}).observe(root);
on("revision", () => {
  if (root.offsetParent) askSources();
});
const timer = setInterval(() => {
  if (!document.body.contains(root)) clearInterval(timer);
  else if (!document.hidden && root.offsetParent && Date.now() - askedAt > (isListed ? LIST_INTERVAL : LIST_TIMEOUT))
    askSources();
}, 1000);
// Back, forward, and "Try this model": a run that the list lacks is in the next one.
function follow() {
  readWeights();
  moved.textContent = "";
  if (!shownSources) return;
  choose();
  replaceAnswer();
  askSources();
}
window.addEventListener("popstate", () => {
  if (source.value !== (addressedModel() ?? latest)) follow();
});
on("try-run", follow);
