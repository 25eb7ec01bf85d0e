// A text to read beside the editor: a file that the spec extends or uses, or the spec with all of them merged.
// Events: "file" "resolved"
import { button, h } from "./dom.js";
import { openTab } from "./navigation.js";
import { editor, on } from "./page.js";

const root = element.querySelector(".reader-view");
const title = h("strong");
const message = h("p.notice.wrong", { role: "alert" });
const place = h("div.code-place");
const pane = h(
  "section.reader-pane",
  { hidden: true, "aria-label": "Text to read" },
  h("div.bar", title, h("span.quiet", "read-only"), button("×", close, { class: "close", "aria-label": "Close" })),
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
  reader ??= editor.mounted.mountReader(place);
  reader.show(text, line, name);
}

on("open-file", ({ file, line }) => {
  openTab("yaml");
  ask("file", { file, line });
});
on("parents", (files) => {
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
