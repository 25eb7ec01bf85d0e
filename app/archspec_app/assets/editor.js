// Problems beside the editor and at their lines; the caret's line for the other views.
const root = element.querySelector(".editor-view");
let problems = [], chosen = null, file = "", good = true, applied = null;

function draw() {
  root.replaceChildren(
    problems.length
      ? h("p", { class: "problems-head", role: "alert" },
        `${problems.length} ${problems.length === 1 ? "problem" : "problems"}; ${good ? "the last good model stays on screen" : "nothing has been built yet"}`)
      : h("p", { class: "problems-head good", role: "status" }, "No problems"),
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
  view.contentDOM.setAttribute("aria-label", "YAML of the spec; Escape, then Tab leaves it");
  view.contentDOM.tabIndex = 0;
}

on("place", ({ line, file: where, focus, scroll = true }) => {
  chosen = where === file ? line : null;
  mark();
  if (chosen && scroll) editor.reveal(chosen, 1, focus);
});

// Changes one stretch of the text, wherever it is by now if somebody has typed on meanwhile.
function apply({ start, old, new: insert, before, after, length }) {
  const view = editor.view;
  if (!view) return;
  const { doc } = view.state, whole = before + old + after;
  for (const at of new Set([start, start + doc.length - length])) {
    const from = at - before.length;
    if (from < 0 || doc.sliceString(from, from + whole.length) !== whole) continue;
    return view.dispatch({ changes: { from: at, to: at + old.length, insert } });
  }
}

function refresh() {
  if (!props.value?.problems) return;
  ({ problems, file, good } = props.value);
  if (props.value.patch && applied !== props.value.revision) apply(props.value.patch);
  applied = props.value.revision;
  draw();
}
watch("value", refresh);
refresh();
