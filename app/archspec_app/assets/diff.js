// What differs between two specs. Event: "compare"
const root = element.querySelector(".diff-view");
const first = h("select", { "aria-label": "Before" }), second = h("select", { "aria-label": "After" });
const levels = h("span", { class: "group", role: "group", "aria-label": "What is compared" });
const markdown = h("button", { type: "button", title: "download the difference as Markdown", onclick: () => {
  if (found?.markdown) download(`${`${found.old} to ${found.new}`.replace(/[^\w.]+/g, "-").replace(/-$/, "")}.md`, found.markdown, "text/markdown");
} }, "Markdown");
const swap = h("button", { type: "button", title: "swap both sides", "aria-label": "Swap both sides", onclick: () => {
  [chosen.a, chosen.b] = [chosen.b, chosen.a];
  ask();
} }, "⇄");
const result = h("div", { class: "result" }), said = h("p", { class: "said", role: "status" });
root.append(
  h("div", { class: "bar" },
    h("span", { class: "group" }, h("label", { class: "inline" }, "Before ", first), swap, h("label", { class: "inline" }, "After ", second)),
    levels, h("span", { class: "group" }, markdown)),
  said, result);
let found = null, opened = null;
const chosen = { a: "@saved", b: "@edited", levels: [] };

const { ask, done } = oneAtATime(() => trigger("compare", { ...chosen }));
first.addEventListener("change", () => { chosen.a = first.value; ask(); });
second.addEventListener("change", () => { chosen.b = second.value; ask(); });
levels.addEventListener("change", () => {
  const wanted = [...levels.querySelectorAll("input:checked")].map((one) => one.value);
  chosen.levels = wanted;
  if (wanted.length) ask();
});

function options(picked) {
  const option = (value, label) => h("option", { value, selected: value === picked }, label);
  const inFolder = (one) => /\.ya?ml$/.test(one);
  return [
    h("optgroup", { label: "Open now" }, option("@edited", "the editor's text"), option("@saved", `${found.open}, as saved`)),
    h("optgroup", { label: "This folder" }, found.names.filter(inFolder).map((one) => option(one, one))),
    h("optgroup", { label: "Packaged" }, found.names.filter((one) => !inFolder(one)).map((one) => option(one, one))),
  ];
}
function row(line) {
  const where = line.line
    ? h("button", { type: "button", class: "link", title: "show this line in the editor", onclick: () => editor.reveal(line.line) }, line.where)
    : line.where;
  return h("li", { class: line.kind },
    h("span", { class: "sign", "aria-hidden": "true" }, line.sign), h("span", { class: "hidden" }, line.kind),
    h("strong", {}, line.what), h("span", { class: "how" }, line.how), h("span", { class: "where" }, where));
}
function section(one) {
  return h("section", {}, h("h3", {}, one.title), h("ul", { class: "changes" }, one.lines.map(row)),
  one.left ? h("p", { class: "quiet" }, `${one.left.toLocaleString("en")} more; the Markdown has all of them.`) : "");
}
function figures(table) {
  return h("section", {}, h("h3", {}, table.title), h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": table.title }, h("table", { class: "figures" },
    h("thead", {}, h("tr", {}, ["", found.old, found.new, "difference"].map((name, i) => (name ? h("th", { scope: "col", class: i ? "number" : "" }, name) : h("td", {}))))),
    h("tbody", {}, table.rows.map(([name, ...cells]) => h("tr", { class: cells.at(-1) === "=" ? "same" : "" }, h("th", { scope: "row" }, name),
      cells.map((cell) => h("td", { class: "number" }, cell))))))));
}
function draw() {
  if (props.value?.turn === undefined) return;
  done();
  if (!props.value.names) return;
  found = props.value;
  const other = opened !== null && opened !== found.open;
  opened = found.open;
  if (other) {
    Object.assign(chosen, { a: "@saved", b: "@edited" });
    return ask();
  }
  if (!chosen.levels.length) chosen.levels = found.levels;
  first.replaceChildren(...options(chosen.a));
  second.replaceChildren(...options(chosen.b));
  if (!levels.children.length) levels.append(...found.all_levels.map((one) =>
    h("label", { class: "inline" }, h("input", { type: "checkbox", value: one, checked: chosen.levels.includes(one) }), ` ${one}`)));
  const parts = [found.a, found.b].includes("@edited") && found.broken ? ["The text has problems: compared is the last good one."] : [];
  said.textContent = [...parts, found.error].filter(Boolean).join("\n");
  markdown.disabled = !found.markdown;
  result.replaceChildren(
    ...(found.error ? [] : [
      found.verdict ? h("p", { class: "verdict" }, found.verdict) : "",
      ...found.sections.map(section), ...found.figures.map(figures),
      ...found.notes.map((note) => h("p", { class: "quiet" }, note))]));
}
watch("value", draw);
whenSeen(root, ask);
