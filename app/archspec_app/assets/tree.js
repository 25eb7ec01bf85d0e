// The module tree: folded repeats, search, freeze toggles, arrow keys.
const root = element.querySelector(".tree-view");
const search = h("input", {
  type: "search", placeholder: "Search modules", "aria-label": "Search modules by name, type or path",
});
const status = h("span", { class: "tree-status", role: "status" });
const body = h("tbody");
const table = h("table", { role: "treegrid", "aria-label": "Module tree" },
  h("thead", {}, h("tr", { role: "row" },
    h("th", { scope: "col" }, "Module"), h("th", { scope: "col", class: "number" }, "Parameters"),
    h("th", { scope: "col", class: "share" }, "Trainable"), h("th", { scope: "col", class: "shape" }, "Output"),
    h("th", { scope: "col", class: "number macs" }, "MACs"), h("th", { scope: "col" }, "Frozen"))),
  body);
const everything = h("button", { type: "button", onclick: () => unfoldAll() }, "Unfold");
const nothing = h("button", { type: "button", onclick: () => foldAll() }, "Fold");
root.append(h("div", { class: "bar" }, search, everything, nothing, status), h("div", { class: "scroll" }, table));

let data = null, open = new Set([""]), selected = null, rows = [], name = null;
const MOST_ROWS = 3000;

const kindOf = (index) => data.kinds[index];
const join = (path, child) => (path ? `${path}.${child}` : child);
const trainable = (path, kind) => (Object.hasOwn(data.trainable, path) ? data.trainable[path] : kind.parameters);

// What rows must contain; a path is looked for as such.
const filter = () => (sought(search.value.trim()) === null ? search.value.trim().toLowerCase() : "");

// Neighbours of one kind with following numbers are one group.
function groups(kind) {
  const found = [];
  for (const [child, index] of kind.children) {
    const last = found.at(-1);
    const follows = last && last.index === index && /^\d+$/.test(child)
      && Number(child) === Number(last.names.at(-1)) + 1;
    if (follows) last.names.push(child);
    else found.push({ index, names: [child] });
  }
  return found;
}

function matches(index, query, memo) {
  if (memo.has(index)) return memo.get(index);
  const kind = kindOf(index);
  const found = kind.type.toLowerCase().includes(query)
    || kind.children.some(([child, below]) => child.toLowerCase().includes(query) || matches(below, query, memo));
  memo.set(index, found);
  return found;
}

function visible() {
  const shown = [], query = filter(), memo = new Map();
  const hit = (label, index) => !query || label.toLowerCase().includes(query)
    || kindOf(index).type.toLowerCase().includes(query);
  function add(path, label, index, level, names, parent) {
    const kind = kindOf(index), many = names.length > 1;
    const key = many ? `${path}-${names.at(-1)}` : path;
    const isOpen = query ? matches(index, query, memo) : open.has(key);
    const row = { key, path, label, index, kind, level, names, parent, many, hit: query && hit(label, index),
      unfolds: many || kind.children.length > 0, isOpen: isOpen && (many || kind.children.length > 0) };
    shown.push(row);
    if (!row.isOpen || shown.length > MOST_ROWS) return;
    if (many && !query) {
      for (const one of names) add(join(parent, one), one, index, level + 1, [one], parent);
      return;
    }
    below(path, kind, level + 1);
  }
  function below(path, kind, level) {
    for (const group of groups(kind)) {
      const first = group.names[0];
      const label = group.names.length > 1 ? `${first}-${group.names.at(-1)}` : first;
      if (query && !hit(label, group.index) && !matches(group.index, query, memo)) continue;
      add(join(path, first), label, group.index, level, group.names, path);
    }
  }
  add("", data.name, data.root, 1, [""], "");
  return shown;
}

function figures(row) {
  let free = 0;
  for (const one of row.names) free += trainable(one === "" ? "" : join(row.parent, one), row.kind);
  return { free, all: row.kind.parameters * row.names.length };
}

const dims = () => Object.entries(data.dims);
const shapes = (list) => list.map((shape) => `[${shape.join(", ")}]`).join(" ");

function draw() {
  if (!data) { rows = []; body.replaceChildren(); status.textContent = ""; return; }
  const focused = body.contains(document.activeElement) ? document.activeElement.closest("tr")?.dataset.key : null;
  rows = visible();
  const shown = rows.slice(0, MOST_ROWS);
  body.replaceChildren(...shown.map(line));
  if (!body.querySelector('tr[tabindex="0"]')) body.rows[0]?.setAttribute("tabindex", "0");
  status.textContent = filter()
    ? `${rows.filter((row) => row.hit).length} found`
    : rows.length > MOST_ROWS ? `the first ${MOST_ROWS} rows` : "";
  const at = focused === null ? null : [...body.rows].find((one) => one.dataset.key === focused);
  at?.focus();
}

function line(row) {
  const { free, all } = figures(row), { kind } = row;
  const share = all ? free / all : 0;
  const state = !all ? "none" : free === all ? "trainable" : free === 0 ? "frozen" : "mixed";
  const where = row.path || "the whole model";
  const toggle = all ? h("button", {
    type: "button", class: `toggle ${state}`, role: "checkbox", tabindex: "-1",
    "aria-checked": state === "mixed" ? "mixed" : String(state === "frozen"),
    "aria-label": `Frozen: ${row.many ? `${row.names.length} × ${row.parent}` : where}`,
    title: state === "mixed" ? "partly frozen" : state,
  }, state === "frozen" ? "❄" : state === "mixed" ? "◐" : "") : "";
  const label = row.level === 1 ? kind.type : `(${row.label}): ${row.many ? `${row.names.length} × ` : ""}${kind.type}`;
  const per = row.many ? `, ${kind.parameters.toLocaleString("en")} each` : "";
  return h("tr", {
    role: "row", tabindex: row.path === (selected ?? "") && !row.many ? "0" : "-1", "data-key": row.key,
    "data-path": row.path, "aria-level": row.level, "aria-selected": String(selected === row.path && !row.many),
    "aria-expanded": row.unfolds ? String(row.isOpen) : null, class: `${state}${row.hit ? " hit" : ""}`,
  },
  h("td", { role: "gridcell", class: "module" },
    h("span", { class: "module-name", style: `--level:${row.level - 1}` },
      h("span", { class: "twisty", "aria-hidden": "true" }, row.unfolds ? (row.isOpen ? "▾" : "▸") : ""),
      h("span", { class: "label", title: kind.text }, label),
      row.path ? h("button", { type: "button", class: "copy", tabindex: "-1", "aria-label": `Copy the path ${row.path}`, title: `copy ${row.path}` }, "copy") : "")),
  h("td", { role: "gridcell", class: "number", title: exact(all, "parameters") + per }, all ? short(all) : "–"),
  h("td", { role: "gridcell", class: "share" }, all
    ? h("span", { class: "meter", title: `${exact(free, "of them trainable")} (${(100 * share).toFixed(1)} %)` },
      h("span", { style: `width:${100 * share}%` })) : ""),
  h("td", { role: "gridcell", class: "shape" }, shapes(kind.outputs)),
  h("td", { role: "gridcell", class: "number macs", title: exact(kind.macs * row.names.length, "multiply-accumulates") },
    kind.macs ? short(kind.macs * row.names.length) : "–"),
  h("td", { role: "gridcell", class: "freeze" }, toggle));
}

const rowOf = (tr) => rows.find((row) => row.key === tr?.dataset.key);

function unfold(row, isOpen) {
  if (!row.unfolds) return;
  if (isOpen) open.add(row.key); else open.delete(row.key);
  draw();
}
function unfoldAll() {
  for (let round = 0; round < 60; round++) {
    const before = open.size;
    for (const row of visible()) if (row.unfolds) open.add(row.key);
    if (open.size === before || open.size > MOST_ROWS) break;
  }
  draw();
}
function foldAll() { open = new Set([""]); draw(); }

function choose(path, { quiet = false } = {}) {
  selected = path;
  draw();
  if (!quiet) tell("selected", { path, from: "tree" });
}
function reveal(path) {
  if (!data) return;
  let at = "", kind = kindOf(data.root), parts = path ? path.split(".") : [];
  open.add("");
  for (const part of parts) {
    const group = groups(kind).find((one) => one.names.includes(part));
    if (!group) return;
    if (group.names.length > 1) open.add(`${join(at, group.names[0])}-${group.names.at(-1)}`);
    at = join(at, part);
    if (at !== path) open.add(at);
    kind = kindOf(group.index);
  }
  selected = path;
  draw();
  body.querySelector('tr[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
}

function freeze(row) {
  const { free, all } = figures(row);
  if (all) change("toggle", { node: row.path, count: row.names.length, frozen: free !== 0 });
}

body.addEventListener("click", (event) => {
  const tr = event.target.closest("tr"), row = rowOf(tr);
  if (!row) return;
  if (event.target.closest(".toggle")) return freeze(row);
  if (event.target.closest(".copy")) {
    navigator.clipboard?.writeText(row.path);
    status.textContent = `copied ${row.path}`;
    return;
  }
  if (event.target.closest(".twisty") || row.many) return unfold(row, !row.isOpen);
  choose(row.path);
});
body.addEventListener("dblclick", (event) => {
  const row = rowOf(event.target.closest("tr"));
  if (row && !event.target.closest("button, .twisty")) unfold(row, !row.isOpen);
});
body.addEventListener("keydown", (event) => {
  const tr = event.target.closest("tr"), row = rowOf(tr);
  if (!row) return;
  const go = (other) => { if (other) { other.tabIndex = 0; other.focus(); } };
  const keys = {
    ArrowDown: () => go(tr.nextElementSibling), ArrowUp: () => go(tr.previousElementSibling),
    Home: () => go(body.rows[0]), End: () => go(body.rows[body.rows.length - 1]),
    ArrowRight: () => (row.isOpen ? go(tr.nextElementSibling) : unfold(row, true)),
    ArrowLeft: () => {
      if (row.isOpen) return unfold(row, false);
      let above = tr.previousElementSibling;
      while (above && Number(above.getAttribute("aria-level")) >= row.level) above = above.previousElementSibling;
      go(above);
    },
    Enter: () => (row.many ? unfold(row, !row.isOpen) : choose(row.path)),
    " ": () => freeze(row),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
search.addEventListener("input", () => {
  const path = sought(search.value.trim());
  if (path === null) return draw();
  reveal(path);
  status.textContent = path;
  tell("selected", { path, from: "tree" });
});
// The first module of a dotted path, whose last name may be a beginning; null if there is none.
function sought(query) {
  if (!data || !query.includes(".")) return null;
  let at = "", kind = kindOf(data.root);
  for (const [n, part] of query.split(".").entries()) {
    const last = n === query.split(".").length - 1;
    const next = kind.children.find(([child]) => child === part)
      ?? (last && kind.children.find(([child]) => child.startsWith(part)));
    if (!next) return null;
    at = join(at, next[0]);
    kind = kindOf(next[1]);
  }
  return at;
}

on("selected", ({ path, from }) => {
  if (from === "tree") return;
  search.value = "";
  reveal(path);
});

// A line of the YAML leads to the first module that is declared there, or around it.
on("line", ({ line: number, lines, file }) => {
  if (!data) return;
  const indent = (text) => text.search(/\S/);
  const wanted = [];
  let depth = Infinity;
  for (let n = number; n >= 1; n--) {
    const text = lines[n - 1] ?? "", own = indent(text);
    if (own < 0 || own >= depth) continue;
    wanted.push(n);
    depth = own;
    if (depth === 0) break;
  }
  const found = new Map(), seen = new Set();
  (function walk(path, index) {
    const kind = kindOf(index);
    if (kind.file === data.file && kind.line && !found.has(kind.line) && path) found.set(kind.line, path);
    for (const [child, below] of kind.children) {
      if (seen.has(`${below}/${kind.type}`)) continue;
      seen.add(`${below}/${kind.type}`);
      walk(join(path, child), below);
    }
  })("", data.root);
  const hit = wanted.find((n) => found.has(n));
  if (hit !== undefined && found.get(hit) !== selected) tell("selected", { path: found.get(hit), from: "editor" });
});

function refresh() {
  if (!props.value?.kinds) return;
  data = props.value.kinds.length ? props.value : null;
  if (data && name !== data.name) { name = data.name; search.value = ""; open = new Set([""]); selected = null; for (const [child] of kindOf(data.root).children) if (kindOf(data.root).children.length < 12) open.add(child); }
  draw();
}
watch("value", refresh);
refresh();
// The names of this view's events, for the server: "toggle"
