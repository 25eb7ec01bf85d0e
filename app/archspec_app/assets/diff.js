// Differences between two specs. Event: "compare"
import { button, download, h, headRow, option, rowHead, scrollable, specOptions } from "./dom.js";
import { formatExact } from "./numbers.js";
import { editor, oneAtATime, whenVisible } from "./page.js";

const root = element.querySelector(".diff-view");
const chosen = { a: "@saved", b: "@edited", levels: [] };
let diff = null;
let openName = null;
const { ask, done } = oneAtATime(() => trigger("compare", { ...chosen }));

const before = h("select", { "aria-label": "Before" });
const after = h("select", { "aria-label": "After" });
const levels = h("span.group", { role: "group", "aria-label": "Compared levels" });
const swapSides = () => {
  [chosen.a, chosen.b] = [chosen.b, chosen.a];
  ask();
};
const downloadMarkdown = () => {
  const name = `${diff.old} to ${diff.new}`.replace(/[^\w.]+/g, "-").replace(/-$/, "");
  download(`${name}.md`, diff.markdown, "text/markdown");
};
const swap = button("⇄", swapSides, { title: "swap both sides", "aria-label": "Swap both sides" });
const markdown = button("Markdown", downloadMarkdown, { title: "download the differences as Markdown" });
const message = h("p.said", { role: "status" });
const result = h("div.result");
root.append(
  h(
    "div.bar",
    h("span.group", h("label.inline", "Before ", before), swap, h("label.inline", "After ", after)),
    levels,
    h("span.group", markdown),
  ),
  message,
  result,
);
before.addEventListener("change", () => {
  chosen.a = before.value;
  ask();
});
after.addEventListener("change", () => {
  chosen.b = after.value;
  ask();
});
levels.addEventListener("change", () => {
  chosen.levels = [...levels.querySelectorAll("input:checked")].map((box) => box.value);
  if (chosen.levels.length) ask();
});

function sideOptions(side) {
  const own = [option("@edited", side, "the editor's text"), option("@saved", side, `${diff.open}, as saved`)];
  return [h("optgroup", { label: "Open now" }, own), ...specOptions(diff.names, side)];
}

function changeRow({ kind, sign, what, how, where, line }) {
  const title = "show this line in the editor";
  const place = line ? button(where, () => editor.reveal(line), { class: "link", title }) : where;
  return h(
    "li",
    { class: kind },
    h("span.sign", { "aria-hidden": "true" }, sign),
    h("span.hidden", kind),
    h("strong", what),
    h("span.how", how),
    h("span.where", place),
  );
}

function section({ title, lines, omitted }) {
  const rest = omitted ? h("p.quiet", `${formatExact(omitted)} more; the Markdown download has all of them.`) : "";
  return h("section", h("h3", title), h("ul.changes", lines.map(changeRow)), rest);
}

function figureRow([name, ...cells]) {
  const isSame = cells.at(-1) === "=";
  return h(
    "tr",
    { class: isSame ? "same" : "" },
    rowHead(name),
    cells.map((cell) => h("td.number", cell)),
  );
}

function figures({ title, rows }) {
  const head = headRow(["Figure", diff.old, diff.new, "Difference"], (i) => i > 0);
  const table = h("table.figures", head, h("tbody", rows.map(figureRow)));
  return h("section", h("h3", title), scrollable(title, table));
}

function levelBox(level) {
  const box = h("input", { type: "checkbox", value: level, checked: chosen.levels.includes(level) });
  return h("label.inline", box, ` ${level}`);
}

function drawResult() {
  const notes = diff.notes.map((note) => h("p.quiet", note));
  const verdict = diff.verdict ? h("p.verdict", diff.verdict) : "";
  result.replaceChildren(verdict, ...diff.sections.map(section), ...diff.figures.map(figures), ...notes);
}

function draw() {
  if (props.value?.answer_id === undefined) return;
  done();
  if (!props.value.names) return;
  diff = props.value;
  const isOtherSpec = openName !== null && openName !== diff.open;
  openName = diff.open;
  if (isOtherSpec) {
    Object.assign(chosen, { a: "@saved", b: "@edited" });
    ask();
    return;
  }
  if (!chosen.levels.length) chosen.levels = diff.levels;
  before.replaceChildren(...sideOptions(chosen.a));
  after.replaceChildren(...sideOptions(chosen.b));
  if (!levels.children.length) levels.append(...diff.all_levels.map(levelBox));
  const isOld = [diff.a, diff.b].includes("@edited") && diff.has_problems;
  const warning = isOld ? "The text has problems: its last valid version is compared." : "";
  message.textContent = [warning, diff.error].filter(Boolean).join("\n");
  markdown.disabled = !diff.markdown;
  if (diff.error) result.replaceChildren();
  else drawResult();
}
watch("value", draw);
whenVisible(root, ask);
