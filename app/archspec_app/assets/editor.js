// Problems below the editor and at their lines; the line of the caret for the other views.
import { button, h } from "./dom.js";
import { editor, on, send } from "./page.js";
import { locatePatch } from "./text_edits.js";

const root = element.querySelector(".editor-view");
let problems = [];
let file = "";
let hasModel = true;
let selectedLine = null;
let patchedRevision = null;

function problemButton({ file: where, line, column, text }) {
  const attributes = { class: "problem", disabled: !line || where !== file };
  return button(h("pre", text), () => editor.reveal(line, column), attributes);
}

function draw() {
  const count = `${problems.length} ${problems.length === 1 ? "problem" : "problems"}`;
  const consequence = hasModel ? "the last valid model is shown" : "there is no model yet";
  const head = problems.length
    ? h("p.problems-head", { role: "alert" }, `${count}; ${consequence}`)
    : h("p.problems-head.good", { role: "status" }, "No problems");
  root.replaceChildren(head, ...problems.map(problemButton));
  drawMarks();
}

function markLayer(view) {
  const existing = view.scrollDOM.querySelector(".line-marks");
  if (existing) return existing;
  const layer = h("div.line-marks", { "aria-hidden": "true" });
  view.scrollDOM.append(layer);
  new ResizeObserver(drawMarks).observe(view.contentDOM);
  watchCaret(view);
  return layer;
}

function mark(view, line, kind, text = "") {
  const block = view.lineBlockAt(view.state.doc.line(line).from);
  const style = `top:${block.top + view.documentPadding.top}px;height:${block.height}px`;
  return h("div.line-mark", { class: kind, style }, text ? h("span", text) : "");
}

function drawMarks() {
  const view = editor.view;
  if (!view) {
    setTimeout(drawMarks, 200);
    return;
  }
  const layer = markLayer(view);
  const isShown = (line) => line && line <= view.state.doc.lines;
  const first = new Map();
  for (const problem of problems)
    if (problem.file === file && isShown(problem.line) && !first.has(problem.line)) first.set(problem.line, problem);
  const marks = [...first].map(([line, { code, message }]) => mark(view, line, "wrong", `${code} ${message}`));
  if (isShown(selectedLine)) marks.push(mark(view, selectedLine, "chosen"));
  layer.replaceChildren(...marks);
}

function watchCaret(view) {
  let last = null;
  const report = () => {
    const line = view.state.doc.lineAt(view.state.selection.main.head).number;
    if (line === last) return;
    last = line;
    send("line", { line, lines: view.state.doc.toString().split("\n"), file });
  };
  view.contentDOM.addEventListener("keyup", report);
  view.contentDOM.addEventListener("mouseup", () => setTimeout(report, 0));
  view.contentDOM.setAttribute("aria-label", "YAML of the spec; press Escape, then Tab to leave it");
  view.contentDOM.tabIndex = 0;
}

on("place", ({ line, file: where, focus, scroll = true }) => {
  selectedLine = where === file ? line : null;
  drawMarks();
  if (selectedLine && scroll) editor.reveal(selectedLine, 1, focus);
});

// The first problem that the text has a place for; without one, as in a spec that it extends, the list.
on("first-problem", () => {
  const { line, column } = problems.find((problem) => problem.line && problem.file === file) ?? {};
  requestAnimationFrame(() => {
    // The tab of the editor is shown by now.
    if (line) editor.reveal(line, column);
    else root.scrollIntoView({ block: "nearest" });
  });
});

function applyPatch(patch) {
  const from = editor.view ? locatePatch(editor.text, patch) : null;
  if (from !== null) editor.view.dispatch({ changes: { from, to: from + patch.old.length, insert: patch.new } });
}

function refresh() {
  if (!props.value?.problems) return;
  ({ problems, file, has_model: hasModel } = props.value);
  const { patch, revision } = props.value;
  if (patch && patchedRevision !== revision) applyPatch(patch);
  patchedRevision = revision;
  draw();
}
watch("value", refresh);
refresh();
