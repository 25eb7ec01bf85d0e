// The selected module: its lines of YAML, its Python, its tensors and shapes.
const root = element.querySelector(".details-view");
const lines = (text, first, mark) => h("pre", { class: "code", tabindex: "0" }, text.split("\n").map((line, i) =>
  h("span", { class: `line${mark && mark.includes(first + i) ? " marked" : ""}` },
    h("span", { class: "line-number", "aria-hidden": "true" }, String(first + i)), `${line}\n`)));
function draw() {
  const found = props.value;
  if (!found?.type) { root.replaceChildren(h("p", { class: "quiet" }, "Select a module in the tree to see its YAML, its Python and its tensors.")); return; }
  const shape = (list) => list.length ? list.map((one) => `[${one.join(", ")}]`).join(" ") : "–";
  root.replaceChildren(
    h("h3", {}, found.path || found.type, found.path ? h("span", { class: "quiet" }, ` ${found.type}`) : ""),
    h("dl", {}, Object.entries({ Layer: found.text, Input: shape(found.inputs), Output: shape(found.outputs), Calls: String(found.calls) })
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    found.tensors.length ? h("div", { class: "wide" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Tensor", "Shape", "Type", "Elements", "Start", "State"].map((one) => h("th", { scope: "col" }, one)))),
      h("tbody", {}, found.tensors.map((one) => h("tr", {}, h("th", { scope: "row" }, one.name),
        [one.shape, one.dtype, one.elements, one.start, one.state].map((cell) => h("td", {}, cell))))))) : "",
    found.yaml ? h("section", {}, h("h4", {}, `YAML, ${found.yaml.file}`), lines(found.yaml.text, found.yaml.first, found.yaml.marked)) : "",
    found.python ? h("section", {}, h("h4", {}, "Generated Python"), lines(found.python.text, found.python.first)) : "");
  if (found.path) tell("place", { line: found.line, file: found.file, focus: false });
}
watch("value", draw);
draw();
