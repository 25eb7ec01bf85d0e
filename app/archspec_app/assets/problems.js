// Problems of the text, below the editor and in it.
import { button, h } from "./dom.js";
import { editor, on, onLatest, send } from "./page.js";

const root = element.querySelector(".problems-view");
let problems = [];
let file = "";
let hasModel = true;
let names = null;

function problemButton({ file: where, line, column, text }) {
  const isParent = editor.mounted?.isParent(where);
  const attributes = { class: "problem", disabled: !line || (where !== file && !isParent) };
  const go = () => (isParent ? send("open-file", { file: where, line }) : editor.reveal(line, column));
  return button(h("pre", text), go, attributes);
}

function draw() {
  const count = `${problems.length} ${problems.length === 1 ? "problem" : "problems"}`;
  const consequence = hasModel ? "the last valid model is shown" : "there is no model yet";
  const head = problems.length
    ? h("p.problems-head", { role: "alert" }, `${count}; ${consequence}`)
    : h("p.problems-head.good", { role: "status" }, "No problems");
  tellEditor();
  root.replaceChildren(head, ...problems.map(problemButton));
}
// In the editor: problems, and the names that it completes.
function tellEditor() {
  editor.mounted?.showProblems(problems.filter((problem) => problem.line && problem.file === file));
  editor.mounted?.setNames(file, names);
  send("parents", names?.files ?? []);
}

// The first problem that the text has a place for; without one, as in a spec that it extends, the list.
on("first-problem", () => {
  const { line, column } = problems.find((problem) => problem.line && problem.file === file) ?? {};
  requestAnimationFrame(() => {
    // The tab of the editor is shown by now.
    if (line) editor.reveal(line, column);
    else root.scrollIntoView({ block: "nearest" });
  });
});
// The place of the chosen module. It may be known before the editor is there, or the name of the text's file.
let place = null;
function showPlace({ line, file: where, focus, scroll = true }) {
  const chosen = where === file ? line : null;
  editor.mounted?.showLine(chosen);
  if (chosen && scroll) editor.reveal(chosen, 1, focus);
}
const showPlaceAgain = () => place && showPlace({ ...place, focus: false });
onLatest("place", (found) => {
  place = found;
  showPlace(place);
});
on("caret", ({ line, lines }) => send("line", { line, lines, file }));
onLatest("editor-ready", () => {
  tellEditor();
  showPlaceAgain();
});

function refresh() {
  if (!props.value?.problems) return;
  const former = file;
  ({ problems, file, has_model: hasModel, names } = props.value);
  draw();
  if (file === former) return;
  if (former) place = null; // it was of another spec
  showPlaceAgain();
}
watch("value", refresh);
refresh();
