// A text or an image in; labels with probabilities out. Events: "text" "image" "sources"
const root = element.querySelector(".predict-view");
const source = h("select", { id: "predict-source" });
const weights = h("input", { type: "text", id: "predict-weights", list: "predict-weights-list", placeholder: "file or folder of weights", spellcheck: "false" });
const key = h("input", { type: "text", id: "predict-key", placeholder: "state_dict, model, or none", spellcheck: "false", "aria-describedby": "help-predict-key" });
const known = h("datalist", { id: "predict-weights-list" });
const words = h("textarea", { id: "predict-text", rows: "4", placeholder: "A text" });
const explain = h("input", { type: "checkbox", id: "predict-explain", checked: true });
const picture = h("input", { type: "file", accept: "image/*", id: "predict-image" });
const go = h("button", { type: "button", class: "primary", onclick: ask }, "Predict");
const preview = h("div", { class: "preview" });
const out = h("div", { class: "answer", role: "status", "aria-live": "polite" });
const explained = h("label", { class: "inline", for: "predict-explain" }, explain, " show which words speak for the label");
const ofText = h("div", { class: "stack" }, h("label", { for: "predict-text" }, "Text"), words, explained);
const ofImage = h("div", { class: "stack" }, h("label", { for: "predict-image" }, "Image"), picture, preview);
const ofSpec = h("div", { class: "stack" }, h("label", { for: "predict-weights" }, "Weights"), weights, known,
  h("label", { for: "predict-key" }, "Key of the weights"), key,
  h("small", { class: "quiet", id: "help-predict-key" }, "Key under which the file has the weights, such as params_ema or teacher."));
root.append(h("div", { class: "fields sources" }, h("div", { class: "stack" }, h("label", { for: "predict-source" }, "Model"), source), ofSpec), ofText, ofImage, h("p", { class: "go" }, go), out);
const MOST = 20000000;
let kinds = {}, told = "", asks = 0;

const kind = () => kinds[source.value] ?? "text-classification";
function arrange() {
  const image = kind() === "image-classification";
  ofText.hidden = image;
  ofImage.hidden = !image;
  ofSpec.hidden = source.value !== "";
  explained.hidden = kind() === "text-embedding";
}
source.addEventListener("change", () => { arrange(); tellOut(); });
words.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask(); });
picture.addEventListener("change", () => {
  const file = picture.files[0];
  preview.replaceChildren(file ? h("img", { src: URL.createObjectURL(file), alt: file.name }) : "");
});

// Whatever is on its way to the page by then is of no interest any more.
function tellOut(...told) {
  asks += 1;
  out.replaceChildren(...told);
}
const working = () => tellOut(h("p", { class: "quiet" }, "working …"));
const refuse = (why) => tellOut(h("p", { class: "notice wrong" }, why));

function ask() {
  const asked = { source: source.value, weights: weights.value, key: key.value };
  if (kind() !== "image-classification") {
    working();
    return trigger("text", { ...asked, asked: String(asks), text: words.value, explain: explain.checked });
  }
  const file = picture.files[0];
  if (!file) return refuse("Choose an image first.");
  if (file.size > MOST) return refuse("The image has more than 20 MB.");
  working();
  const turn = String(asks), reader = new FileReader();
  reader.onload = () => trigger("image", { ...asked, asked: turn, data: reader.result.split(",")[1] });
  reader.onerror = () => refuse("The file cannot be read.");
  reader.readAsDataURL(file);
}

const percent = (share) => `${(100 * share).toFixed(share > 0.0995 || share === 0 ? 1 : 2)} %`;
function bars(found) {
  const rest = found.rest ? [{ label: `${found.rest.count.toLocaleString("en")} others`, probability: found.rest.probability }] : [];
  return h("table", { class: "bars" }, h("thead", { class: "hidden" }, h("tr", {}, ["Label", "Bar", "Probability"].map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, [...found.labels, ...rest].map((one, i) => h("tr", { class: i === 0 ? "best" : "" }, h("th", { scope: "row" }, one.label),
      h("td", { class: "bar-cell" }, h("span", { class: "meter" }, h("span", { style: `width:${100 * one.probability}%` }))),
      h("td", { class: "number", title: String(one.probability) }, percent(one.probability))))));
}
function why(found) {
  if (!found) return "";
  if (found.too_long) return h("p", { class: "quiet" }, `${found.too_long} tokens are too many to say which of them count.`);
  return h("section", {}, h("h3", {}, `What speaks for ${found.label} (+) and against it (−)`),
    h("p", { class: "saliency" }, found.segments.map((one) => one.score === null ? one.text : h("span", {
      class: `word ${one.score < 0 ? "against" : "for"}`, style: `--share:${Math.abs(one.share).toFixed(3)}`, tabindex: "0",
      "aria-label": `${one.text}: ${one.score.toFixed(3)}`, title: `${one.score >= 0 ? "+" : ""}${one.score.toFixed(3)} of the logit`, role: "img",
    }, one.text, h("sub", { "aria-hidden": "true" }, Math.abs(one.share) >= 0.15 ? (one.score < 0 ? "−" : "+") : "")))),
    h("p", { class: "quiet" }, `Integrated gradients in ${found.steps} steps: logit ${found.logit.toFixed(3)}, of a blank text ${found.baseline.toFixed(3)}; the words explain all but ${Math.abs(found.gap).toFixed(3)} of the difference.`
      + (found.unread ? ` The last ${found.unread === 1 ? "character is" : `${found.unread.toLocaleString("en")} characters are`} beyond the model's length.` : "")));
}
function cut(found) {
  if (!found.truncated) return "";
  const { tokens, max_length: most } = found.truncated;
  return h("p", { class: "notice" }, `The text was cut: the model read ${most.toLocaleString("en")} of its ${tokens.toLocaleString("en")} tokens.`);
}
function draw() {
  const found = props.value;
  if (!found) return;
  if (found.sources) {
    const now = JSON.stringify(found.sources);
    if (now !== told) {
      told = now;
      const before = source.value, first = !source.options.length;
      kinds = { "": found.sources.kind };
      for (const run of found.sources.runs) kinds[run.name] = run.kind;
      source.replaceChildren(
        h("option", { value: "" }, `${found.sources.spec}, as in the editor, with weights`),
        h("optgroup", { label: "Runs" }, found.sources.runs.map((run) => h("option", { value: run.name }, `${run.name}${run.best?.accuracy ? `, accuracy ${run.best.accuracy.toFixed(4)}` : ""}`))));
      source.value = !first && before in kinds ? before : found.sources.runs[0]?.name ?? "";
      known.replaceChildren(...found.sources.weights.map((one) => h("option", { value: one.name })));
      arrange();
    }
  }
  if (found.asked !== String(asks)) return;
  if (found.error) out.replaceChildren(h("pre", { class: "notice wrong" }, found.error));
  else if (found.answer?.labels) out.replaceChildren(cut(found.answer), bars(found.answer), why(found.answer.saliency));
  else if (found.answer) out.replaceChildren(cut(found.answer), h("p", {}, `An embedding of ${found.answer.size} numbers, of norm ${found.answer.norm.toFixed(4)}:`),
    h("pre", { class: "code" }, `${found.answer.first.map((one) => one.toFixed(5)).join("  ")} …`));
}
watch("value", draw);
draw();
whenSeen(root, () => trigger("sources"));
