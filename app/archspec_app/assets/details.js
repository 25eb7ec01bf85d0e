// The selected module: its lines of YAML, its Python, its tensors and shapes. Event: "look"
const root = element.querySelector(".details-view");
let selected = "", marked = null;
const { ask, done } = oneAtATime(() => trigger("look", { node: selected }));

function go(label, line, title) {
  return h("button", { type: "button", class: "link", title, onclick: () => editor.reveal(line) }, label);
}
function place(file, line, open) {
  if (!line) return "";
  const text = `${file.split("/").at(-1)}:${line}`;
  return file === open ? go(text, line, "show this line in the editor") : h("span", { class: "quiet" }, text);
}
function code(found, open, language) {
  const meant = new Set(found.marked), mine = found.file === open && found.file !== undefined;
  const text = h("pre", { class: "code", tabindex: "0", "aria-label": `${language}: ${found.title}` },
    found.lines.map((line, i) => h("span", { class: `line${meant.has(found.first + i) ? " marked" : ""}` },
      h("span", { class: "line-number", "aria-hidden": "true" }, String(found.first + i)), `${line}\n`)),
    found.left ? h("span", { class: "line quiet" }, `… ${found.left.toLocaleString("en")} more lines`) : "");
  if (mine) text.addEventListener("dblclick", (event) => {
    const line = [...text.children].indexOf(event.target.closest(".line"));
    if (line >= 0) editor.reveal(found.first + line);
  });
  return h("div", { class: "excerpt" },
    h("p", { class: "quiet" }, found.title, found.file ? ", " : "",
      found.file ? (mine ? go(`${found.file}:${found.marked[0] ?? found.first}`, found.marked[0] ?? found.first, "show in the editor") : found.file) : ""),
    text);
}
function tensor(one, open) {
  return h("tr", {}, h("th", { scope: "row" }, one.name),
    h("td", {}, `[${one.shape.join(", ")}]`), h("td", {}, one.dtype), h("td", { class: "number" }, one.elements),
    h("td", {}, h("span", { class: `badge ${one.state}` }, one.state)),
    h("td", {}, one.starts.map((value, i) => [i ? "; " : "", value.text, " ", place(value.file, value.line, open)])),
    h("td", { class: "shares" }, one.shared.length ? `with ${one.shared.slice(0, 3).join(", ")}${one.shared.length > 3 ? ` and ${one.shared.length - 3} more` : ""}` : "–"));
}
const shapes = (list) => (list.length ? list.map((one) => `[${one.join(", ")}]`).join(" ") : "not run");
const fact = (name, text, title) => h("div", { class: name.toLowerCase() }, h("dt", {}, name), h("dd", { title }, text));

function draw() {
  const found = props.value;
  if (!found?.type) {
    const said = found?.error ?? "Select a module in the tree to see its YAML, its Python and its tensors.";
    root.replaceChildren(h("p", { class: found?.error ? "notice wrong" : "quiet" }, said));
    return;
  }
  const { open } = found;
  const heads = ["Tensor", "Shape", "Type", "Elements", "State", "First values", "Shared"];
  root.replaceChildren(
    h("h3", {}, h("span", { class: "path" }, found.path || found.type), found.path ? h("span", { class: "quiet" }, ` ${found.type}`) : ""),
    h("dl", {}, found.text.endsWith("()") ? "" : fact("Layer", found.text),
      fact("Input", shapes(found.inputs)), fact("Output", shapes(found.outputs)),
      found.figures.map((one) => fact(one.name, one.short, one.full))),
    found.tensors.length ? h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Tensors" }, h("table", {},
      h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col", class: one === "Elements" ? "number" : "" }, one)))),
      h("tbody", {}, found.tensors.map((one) => tensor(one, open))))) : "",
    h("div", { class: "texts" },
      h("section", {}, h("h4", {}, "YAML"), found.yaml.map((one) => code(one, open, "YAML"))),
      h("section", {}, h("h4", {}, "Generated Python"), found.python.map((one) => code(one, undefined, "Python")))));
  for (const text of root.querySelectorAll("pre.code")) {
    const line = text.querySelector(".marked");
    if (line) text.scrollTop = line.offsetTop - text.offsetTop - text.clientHeight / 3;
  }
  mark(found);
}
// The editor scrolls to a module's line when it is selected, not while its text is typed.
function mark({ path, file, line }) {
  if (!path && marked === null) return;
  const at = `${path} ${file}`;
  tell("place", { line, file, focus: false, scroll: at !== marked });
  marked = at;
}
on("selected", ({ path, from }) => {
  selected = path;
  if (from === "editor") marked = `${path} ${props.value?.open}`;
  ask();
});
watch("value", () => { done(); draw(); });
draw();
whenSeen(root, ask);
