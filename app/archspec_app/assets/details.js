// The selected module: its YAML, its generated Python, its tensors and shapes. Event: "select_module"
import { button, h, headRow, rowHead, scrollable } from "./dom.js";
import { formatExact, formatShapes } from "./numbers.js";
import { editor, onLatest, oneAtATime, send, whenVisible } from "./page.js";

const root = element.querySelector(".details-view");
const COLUMNS = ["Tensor", "Shape", "dtype", "Elements", "State", "Initial values", "Shared with"];
const IN_EDITOR = "show this line in the editor";
let selected = "";
let revealed = null;
const { ask, done } = oneAtATime(() => trigger("select_module", { node: selected }));

const fileLink = (label, file, line) =>
  button(label, () => send("open-file", { file, line }), { class: "link", title: "show this file below the editor" });
const lineLink = (label, line) => button(label, () => editor.reveal(line), { class: "link", title: IN_EDITOR });

function place({ file, line }, openFile) {
  if (!line) return "";
  const text = `${file.split("/").at(-1)}:${line}`;
  if (file === openFile) return lineLink(text, line);
  return editor.mounted?.isParent(file) ? fileLink(text, file, line) : h("span.quiet", text);
}

function excerpt({ title, file, first, lines, marked, omitted }, openFile, language) {
  const isOpen = file !== undefined && file === openFile;
  const numbered = lines.map((line, i) => {
    const number = h("span.line-number", { "aria-hidden": "true" }, String(first + i));
    return h("span.line", { class: marked.includes(first + i) ? "marked" : "" }, number, `${line}\n`);
  });
  const rest = omitted ? h("span.line.quiet", `… ${formatExact(omitted)} more lines`) : "";
  const code = h("pre.code", { tabindex: "0", "aria-label": `${language}: ${title}` }, numbered, rest);
  if (isOpen)
    code.addEventListener("dblclick", (event) => {
      const index = numbered.indexOf(event.target.closest(".line"));
      if (index >= 0) editor.reveal(first + index);
    });
  const line = marked[0] ?? first;
  const isParent = !isOpen && editor.mounted?.isParent(file);
  const link = isOpen ? lineLink(`${file}:${line}`, line) : "";
  const source = isParent ? fileLink(`${file}:${line}`, file, line) : link || (file ?? "");
  return h("div.excerpt", h("p.quiet", title, file ? ", " : "", source), code);
}

function tensorRow(tensor, openFile) {
  const { name, shape, dtype, elements, state, initial, shared } = tensor;
  const others = shared.length > 3 ? ` and ${shared.length - 3} more` : "";
  const values = initial.map((value, i) => [i ? "; " : "", value.text, " ", place(value, openFile)]);
  return h(
    "tr",
    rowHead(name),
    h("td", `[${shape.join(", ")}]`),
    h("td", dtype),
    h("td.number", elements),
    h("td", h("span.badge", { class: state }, state)),
    h("td", values),
    h("td.shares", shared.length ? shared.slice(0, 3).join(", ") + others : "–"),
  );
}

function tensorTable(tensors, openFile) {
  if (!tensors.length) return "";
  const head = headRow(COLUMNS, (i) => COLUMNS[i] === "Elements");
  return scrollable(
    "Tensors",
    h(
      "table",
      head,
      h(
        "tbody",
        tensors.map((tensor) => tensorRow(tensor, openFile)),
      ),
    ),
  );
}

const shapes = (list) => formatShapes(list) || "not called";
const fact = (name, text, title) => h("div", { class: name.toLowerCase() }, h("dt", name), h("dd", { title }, text));

function draw() {
  const details = props.value;
  if (!details?.type) {
    const hint = "Select a module in the tree to see its YAML, its Python and its tensors.";
    root.replaceChildren(details?.error ? h("p.notice.wrong", details.error) : h("p.quiet", hint));
    return;
  }
  const { path, type, text, open_file: openFile } = details;
  const python = details.python.map((part) => excerpt(part, undefined, "Python"));
  const yaml = details.yaml.map((part) => excerpt(part, openFile, "YAML"));
  root.replaceChildren(
    h("h3", h("span.path", path || type), path ? h("span.quiet", ` ${type}`) : ""),
    h(
      "dl",
      text.endsWith("()") ? "" : fact("Layer", text),
      fact("Input", shapes(details.inputs)),
      fact("Output", shapes(details.outputs)),
      details.figures.map(({ name, short, full }) => fact(name, short, full)),
    ),
    tensorTable(details.tensors, openFile),
    h("div.texts", h("section", h("h4", "YAML"), yaml), h("section", h("h4", "Generated Python"), python)),
  );
  for (const code of root.querySelectorAll("pre.code")) {
    const line = code.querySelector(".marked");
    if (line) code.scrollTop = line.offsetTop - code.offsetTop - code.clientHeight / 3;
  }
  markLine(details);
}

// The editor scrolls to a module's line when the module is selected, not when the text changes.
function markLine({ path, file, line }) {
  if (!path && revealed === null) return;
  const key = `${path} ${file}`;
  send("place", { line, file, focus: false, scroll: key !== revealed });
  revealed = key;
}

onLatest("selected", ({ path, from }) => {
  selected = path;
  if (from === "editor") revealed = `${path} ${props.value?.open_file}`;
  ask();
});
watch("value", () => {
  done();
  draw();
});
draw();
whenVisible(root, ask);
