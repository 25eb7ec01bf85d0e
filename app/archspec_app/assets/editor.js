// Problems beside the editor and at their lines; the caret's line for the other views.
const root = element.querySelector(".editor-view");
let problems = [], chosen = null, file = "", broken = false;

function draw() {
  root.replaceChildren(
    broken
      ? h("p", { class: "problems-head", role: "alert" },
        `${problems.length} ${problems.length === 1 ? "problem" : "problems"}; the last good model stays on screen`)
      : h("p", { class: "problems-head good", role: "status" }, problems.good ?? "No problems"),
    ...problems.map((problem) => h("button", {
      type: "button", class: "problem", disabled: !problem.line || problem.file !== file,
      onclick: () => editor.reveal(problem.line, problem.column),
    }, h("pre", {}, problem.text))));
  mark();
}

function mark() {
  const view = editor.view;
  if (!view) return setTimeout(mark, 200);
  let layer = view.scrollDOM.querySelector(".line-marks");
  if (!layer) {
    layer = h("div", { class: "line-marks", "aria-hidden": "true" });
    view.scrollDOM.append(layer);
    new ResizeObserver(mark).observe(view.contentDOM);
    watchCaret(view);
  }
  const made = [];
  const band = (line, kind, text) => {
    if (!line || line > view.state.doc.lines) return;
    const block = view.lineBlockAt(view.state.doc.line(line).from);
    const top = block.top + view.documentPadding.top;
    made.push(h("div", { class: `line-mark ${kind}`, style: `top:${top}px;height:${block.height}px` },
      text ? h("span", {}, text) : ""));
  };
  const told = new Set();
  for (const problem of problems)
    if (problem.file === file && !told.has(problem.line)) {
      told.add(problem.line);
      band(problem.line, "wrong", `${problem.code} ${problem.message}`);
    }
  if (chosen) band(chosen, "chosen");
  layer.replaceChildren(...made);
}

function watchCaret(view) {
  let last = null;
  const look = () => {
    const line = view.state.doc.lineAt(view.state.selection.main.head).number;
    if (line === last) return;
    last = line;
    tell("line", { line, lines: view.state.doc.toString().split("\n"), file });
  };
  view.contentDOM.addEventListener("keyup", look);
  view.contentDOM.addEventListener("mouseup", () => setTimeout(look, 0));
  view.contentDOM.setAttribute("aria-label", "YAML of the spec");
  view.contentDOM.tabIndex = 0;
}

on("place", ({ line, file: where, focus, scroll = true }) => {
  chosen = where === file ? line : null;
  mark();
  if (chosen && scroll) editor.reveal(chosen, 1, focus);
});

function refresh() {
  if (!props.value?.problems) return;
  ({ problems, file, broken } = props.value);
  draw();
}
watch("value", refresh);
refresh();
