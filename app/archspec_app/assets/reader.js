// A text to read beside the editor: a file that the spec extends or uses, or the spec with all of them merged.
// Events: "file" "resolved"
import { button, h } from "./dom.js";
import { openTab } from "./navigation.js";
import { editor, on, onLatest } from "./page.js";

const root = element.querySelector(".reader-view");
const title = h("strong");
const message = h("p.notice.wrong", { role: "alert" });
const place = h("div.code-place");
const copy = button("", copyHere, {
  hidden: true,
  title: "put it into the text that you edit; Undo takes it out again",
});
const pane = h(
  "section.reader-pane",
  { hidden: true, "aria-label": "Text to read" },
  h(
    "div.bar",
    title,
    h("span.quiet", "read-only"),
    copy,
    button("×", close, { class: "close", "aria-label": "Close" }),
  ),
  place,
);
const merged = button("Show with parents merged", () => ask("resolved", {}), {
  title: "the spec as one text, with what it extends and uses",
});
const parents = h("span.parents");
const bar = h("div.bar.reader-bar", { hidden: true }, merged, parents);
root.append(bar, message, pane);

let reader = null;
let shown = null;
let asked = null;
let source = null; // what is shown: its name and its text
let declaration = null; // in it, what can be copied

function ask(name, data) {
  asked = { name, data };
  message.textContent = "";
  trigger(name, data);
}
function close() {
  pane.hidden = true;
  asked = null;
  editor.view?.focus();
}

function show({ name, text, line }) {
  title.textContent = name;
  pane.hidden = false;
  source = { name, text };
  reader ??= editor.mounted.mountReader(place, offerCopy);
  reader.show(text, line, name);
}

// The block or parameter that the caret is in can be copied, unless the spec has it already.
async function offerCopy(offset) {
  const { name, text } = source;
  const tools = await editor.mounted.loadTools();
  if (text !== source.text || !tools) return;
  const declared = tools.declarationAt(text.replaceAll("\r\n", "\n"), offset);
  declaration = declared && tools.canCopy(editor.text, name, declared) ? declared : null;
  copy.hidden = !declaration;
  copy.textContent = declaration ? `Copy ${declaration.name} into this spec` : "";
}
async function copyHere() {
  const tools = await editor.mounted.loadTools();
  if (!tools || !declaration || !tools.canCopy(editor.text, source.name, declaration)) return;
  const { from, insert } = tools.copyInto(editor.text, source.text, declaration);
  copy.hidden = true;
  editor.mounted.insert(from, insert);
}

on("open-file", ({ file, line }) => {
  openTab("yaml");
  ask("file", { file, line });
});
onLatest("parents", (files) => {
  bar.hidden = !files.length;
  const link = (file) => button(file, () => ask("file", { file, line: 1 }), { class: "link" });
  parents.replaceChildren(...files.map(link));
});
// Another version of the spec: what is shown of it is asked for again.
on("revision", () => {
  if (asked?.name === "resolved" && !pane.hidden) trigger("resolved", {});
});

function refresh() {
  const { value } = props;
  if (value?.answer_id === undefined || value.answer_id === shown) return;
  shown = value.answer_id;
  message.textContent = value.error ?? "";
  if (value.text !== undefined && asked) show(value);
}
watch("value", refresh);
refresh();
