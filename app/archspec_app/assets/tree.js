// The module tree: folded repeats, search, the freeze plan and its toggles, arrow keys.
// Events: "toggle" "plan" "save_plan"
import { addressed, setAddress } from "./address.js";
import { button, h, keepFocus, meter, option } from "./dom.js";
import { formatCount, formatExact, formatOperations, formatPercent, formatShapes } from "./numbers.js";
import { changeBy, on, send } from "./page.js";
import { MAX_ROWS, findPath, keysAbove, moduleAtLine, parameterCounts, visibleRows } from "./tree_rows.js";

const change = changeBy(trigger);
const root = element.querySelector(".tree-view");
const TOGGLES = {
  trainable: "trained: click to freeze",
  mixed: "partly frozen: click to freeze all of it",
  frozen: "frozen: click to train",
};
const plans = h("select", { "aria-label": "Freeze plan" });
const planName = h("input", {
  type: "text",
  "aria-label": "Name for the plan",
  placeholder: "new name",
  spellcheck: "false",
  size: 12,
});
const savePlan = () => change("save_plan", { plan: planName.value }, planName);
const planBar = h(
  "div.bar.plan-bar",
  h("label.inline", "Freeze plan ", plans),
  h("span.group", planName, button("Save plan", savePlan, { title: "copy the plan to this name" })),
);
plans.addEventListener("change", () => change("plan", { plan: plans.value }, plans));
const search = h("input", {
  type: "search",
  placeholder: "Search modules",
  "aria-label": "Search modules by name, type or path",
});
const status = h("span.tree-status", { role: "status" });
const body = h("tbody");
const column = (name, kind = "") => h("th", { scope: "col", class: kind }, name);
const heads = [
  column("Module"),
  column("Parameters", "number"),
  column("Trainable", "share"),
  column("Output", "shape"),
  column("MACs", "number macs"),
  column("Frozen"),
];
const table = h(
  "table",
  { role: "treegrid", "aria-label": "Module tree", "aria-multiselectable": "true" },
  h("thead", h("tr", { role: "row" }, heads)),
);
table.append(body);
const bar = h("div.bar", search, button("Expand all", expandAll), button("Collapse all", collapseAll), status);
root.append(planBar, bar, h("div.scroll", table));

let tree = null;
let treeName = null;
let expanded = new Set([""]);
let isFirst = true;
let selected = null;
let picked = new Set(); // keys of the rows that one toggle acts on together
let rows = [];

const searchedPath = () => (tree ? findPath(tree, search.value.trim()) : null);
const query = () => (searchedPath() === null ? search.value.trim().toLowerCase() : "");

function draw() {
  rows = tree ? visibleRows(tree, expanded, query()) : [];
  keepFocus(body, "data-key", () => {
    body.replaceChildren(...rows.slice(0, MAX_ROWS).map(drawRow));
    if (!body.querySelector('tr[tabindex="0"]')) body.rows[0]?.setAttribute("tabindex", "0");
  });
  const hits = rows.filter((row) => row.isHit).length;
  const limit = rows.length > MAX_ROWS ? `first ${MAX_ROWS} rows shown` : "";
  status.textContent = tree && query() ? `${hits} found` : limit;
}

function freezeState({ trainable, total }) {
  if (!total) return "none";
  if (trainable === total) return "trainable";
  return trainable ? "mixed" : "frozen";
}

function freezeToggle(row, state) {
  const what = row.isGroup ? `${row.names.length} × ${row.parent}` : row.path || "the whole model";
  const attributes = {
    class: `toggle ${state}`,
    role: "checkbox",
    tabindex: "-1",
    "aria-checked": state === "mixed" ? "mixed" : String(state === "frozen"),
    "aria-label": `Frozen: ${what}`,
    title: TOGGLES[state],
  };
  return button("❄", null, attributes);
}

function nameCell({ path, label, kind, level, names, isGroup, canExpand, isOpen }) {
  const times = isGroup ? `${names.length} × ` : "";
  const text = level === 1 ? kind.type : `(${label}): ${times}${kind.type}`;
  const copy = { class: "copy", tabindex: "-1", "aria-label": `Copy the path ${path}`, title: `copy ${path}` };
  return h(
    "td.module",
    { role: "gridcell" },
    h(
      "span.module-name",
      { style: `--level:${level - 1}` },
      h("span.twisty", { "aria-hidden": "true" }, canExpand ? (isOpen ? "▾" : "▸") : ""),
      h("span.label", { title: kind.text }, text),
      path ? button("copy", null, copy) : "",
    ),
  );
}

function drawRow(row) {
  const { key, path, kind, level, names, isGroup, canExpand, isOpen, isHit } = row;
  const counts = parameterCounts(tree, row);
  const { trainable, total } = counts;
  const state = freezeState(counts);
  const share = total ? trainable / total : 0;
  const each = isGroup ? `, ${formatExact(kind.parameters)} each` : "";
  const macs = kind.macs * names.length;
  const isSelected = selected === path && !isGroup;
  const shapes = formatShapes(kind.outputs);
  const cell = (name, title, content) => h("td", { role: "gridcell", class: name, title }, content);
  const shareTitle = `${formatExact(trainable)} trainable (${formatPercent(share)})`;
  return h(
    "tr",
    {
      role: "row",
      tabindex: path === (selected ?? "") && !isGroup ? "0" : "-1",
      "data-key": key,
      "data-path": path,
      "aria-level": level,
      "aria-selected": String(isSelected || picked.has(key)),
      "aria-expanded": canExpand ? String(isOpen) : null,
      class: `${state} ${isHit ? "hit" : ""}`,
    },
    nameCell(row),
    cell("number", `${formatExact(total)} parameters${each}`, total ? formatCount(total) : "–"),
    cell("share", null, total ? meter(share, { title: shareTitle }) : ""),
    cell("shape", null, shapes),
    cell("number macs", `${formatExact(macs)} multiply-accumulates`, macs ? formatOperations(macs) : "–"),
    cell("freeze", null, total ? freezeToggle(row, state) : ""),
  );
}

// -------------------------------------------------------------------------------------- actions
const rowOf = (tr) => rows.find((row) => row.key === tr?.dataset.key);

function setExpanded(row, isOpen) {
  if (!row.canExpand) return;
  if (isOpen) expanded.add(row.key);
  else expanded.delete(row.key);
  draw();
}
function expandAll() {
  let before = -1;
  while (tree && expanded.size !== before && expanded.size <= MAX_ROWS) {
    before = expanded.size;
    for (const row of visibleRows(tree, expanded, query())) if (row.canExpand) expanded.add(row.key);
  }
  draw();
}
function collapseAll() {
  expanded = new Set([""]);
  draw();
}
function select(path) {
  selected = path;
  setAddress({ module: path });
  draw();
  send("selected", { path, from: "tree" });
}
function reveal(path) {
  const keys = tree && keysAbove(tree, path);
  if (!keys) return;
  for (const key of keys) expanded.add(key);
  selected = path;
  draw();
  body.querySelector('tr[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
}
// One row, or all that are picked if it is one of them.
function toggleFrozen(row) {
  const together = picked.has(row.key) ? rows.filter(({ key }) => picked.has(key)) : [row];
  const counted = together.map((one) => ({ one, ...parameterCounts(tree, one) })).filter(({ total }) => total);
  if (!counted.length) return;
  const frozen = counted.some(({ trainable }) => trainable !== 0);
  change("toggle", { rows: counted.map(({ one }) => ({ node: one.path, count: one.names.length })), frozen });
}
function pick(row, isRange) {
  const anchor = rows.findIndex(({ key, path, isGroup }) => picked.has(key) || (path === selected && !isGroup));
  const at = rows.indexOf(row);
  if (isRange && anchor >= 0) {
    for (const one of rows.slice(Math.min(anchor, at), Math.max(anchor, at) + 1)) picked.add(one.key);
  } else if (!picked.delete(row.key)) picked.add(row.key);
  draw();
}
function copyPath({ path }) {
  navigator.clipboard?.writeText(path);
  status.textContent = `copied ${path}`;
}

body.addEventListener("click", (event) => {
  const { target } = event;
  const row = rowOf(target.closest("tr"));
  if (!row) return;
  const isPick = event.ctrlKey || event.metaKey || event.shiftKey;
  if (!isPick && !target.closest(".toggle")) picked.clear();
  if (target.closest(".toggle")) toggleFrozen(row);
  else if (target.closest(".copy")) copyPath(row);
  else if (isPick) pick(row, event.shiftKey);
  else if (target.closest(".twisty") || row.isGroup) setExpanded(row, !row.isOpen);
  else select(row.path);
});
body.addEventListener("dblclick", ({ target }) => {
  const row = rowOf(target.closest("tr"));
  if (row && !target.closest("button, .twisty")) setExpanded(row, !row.isOpen);
});

function focusRow(tr) {
  if (!tr) return;
  tr.tabIndex = 0;
  tr.focus();
}
function focusParent(tr, level) {
  let above = tr.previousElementSibling;
  while (above && Number(above.getAttribute("aria-level")) >= level) above = above.previousElementSibling;
  focusRow(above);
}
const KEYS = {
  ArrowDown: (row, tr) => focusRow(tr.nextElementSibling),
  ArrowUp: (row, tr) => focusRow(tr.previousElementSibling),
  Home: () => focusRow(body.rows[0]),
  End: () => focusRow(body.rows[body.rows.length - 1]),
  ArrowRight: (row, tr) => (row.isOpen ? focusRow(tr.nextElementSibling) : setExpanded(row, true)),
  ArrowLeft: (row, tr) => (row.isOpen ? setExpanded(row, false) : focusParent(tr, row.level)),
  Enter: (row) => (row.isGroup ? setExpanded(row, !row.isOpen) : select(row.path)),
  " ": toggleFrozen,
};
body.addEventListener("keydown", (event) => {
  const tr = event.target.closest("tr");
  const row = rowOf(tr);
  if (!row || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key](row, tr);
});
search.addEventListener("input", () => {
  const path = searchedPath();
  if (path === null) {
    draw();
    return;
  }
  reveal(path);
  status.textContent = path;
  send("selected", { path, from: "tree" });
});

on("selected", ({ path, from }) => {
  if (from === "tree") return;
  setAddress({ module: path });
  search.value = "";
  reveal(path);
});
on("line", ({ line, lines }) => {
  const path = tree && moduleAtLine(tree, lines, line);
  if (path !== null && path !== selected) send("selected", { path, from: "editor" });
});

function refresh() {
  if (!props.value?.kinds) return;
  plans.replaceChildren(...props.value.plans.map(({ name, label }) => option(name, null, label)));
  plans.value = props.value.plan ?? "";
  tree = props.value.kinds.length ? props.value : null;
  if (tree && treeName !== tree.name) {
    treeName = tree.name;
    search.value = "";
    selected = null;
    picked = new Set();
    const children = tree.kinds[tree.root].children.map(([name]) => name);
    expanded = new Set(["", ...(children.length < 12 ? children : [])]);
    const path = addressed("module");
    if (isFirst && path && keysAbove(tree, path)) send("selected", { path, from: "address" });
    isFirst = false;
  }
  draw();
}
watch("value", refresh);
refresh();
