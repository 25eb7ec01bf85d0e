// The rows of the module tree. A "kind" is a subtree that several modules may look like; `tree.kinds` lists them.

export const MAX_ROWS = 3000;

export const childPath = (path, name) => (path ? `${path}.${name}` : name);

// The children of a kind; neighbours of one kind with consecutive numbers are one group.
export function groupChildren(kind) {
  const groups = [];
  for (const [name, index] of kind.children) {
    const last = groups.at(-1);
    const continues = last?.index === index && /^\d+$/.test(name) && Number(name) === Number(last.names.at(-1)) + 1;
    if (continues) last.names.push(name);
    else groups.push({ index, names: [name] });
  }
  return groups;
}

const labelOf = (names) => (names.length > 1 ? `${names[0]}-${names.at(-1)}` : names[0]);

function hasMatchBelow(tree, index, query, known) {
  if (!known.has(index)) {
    const kind = tree.kinds[index];
    const children = kind.children.some(
      ([name, below]) => name.toLowerCase().includes(query) || hasMatchBelow(tree, below, query, known),
    );
    known.set(index, children || kind.type.toLowerCase().includes(query));
  }
  return known.get(index);
}

// The rows on screen: those below expanded rows, or all on the way to a match of the query.
export function visibleRows(tree, expanded, query = "") {
  const rows = [];
  const known = new Map();
  const isHit = (label, index) =>
    query && [label, tree.kinds[index].type].some((text) => text.toLowerCase().includes(query));

  function add(parent, group, label, level) {
    const { index, names } = group;
    const kind = tree.kinds[index];
    const path = level === 1 ? "" : childPath(parent, names[0]);
    const isGroup = names.length > 1;
    const key = isGroup ? `${path}-${names.at(-1)}` : path;
    const canExpand = isGroup || kind.children.length > 0;
    const isOpen = canExpand && (query ? hasMatchBelow(tree, index, query, known) : expanded.has(key));
    rows.push({ key, path, parent, label, kind, level, names, isGroup, canExpand, isOpen, isHit: isHit(label, index) });
    if (!isOpen || rows.length > MAX_ROWS) return;
    if (isGroup && !query) for (const name of names) add(parent, { index, names: [name] }, name, level + 1);
    else addChildren(path, kind, level + 1);
  }

  function addChildren(path, kind, level) {
    for (const group of groupChildren(kind)) {
      const label = labelOf(group.names);
      if (!query || isHit(label, group.index) || hasMatchBelow(tree, group.index, query, known))
        add(path, group, label, level);
    }
  }

  add("", { index: tree.root, names: [""] }, tree.name, 1);
  return rows;
}

// Parameters of a row's modules, and how many of them are trainable.
export function parameterCounts(tree, row) {
  let trainable = 0;
  for (const name of row.names) {
    const path = row.level === 1 ? "" : childPath(row.parent, name);
    trainable += Object.hasOwn(tree.trainable, path) ? tree.trainable[path] : row.kind.parameters;
  }
  return { trainable, total: row.kind.parameters * row.names.length };
}

// The keys of all rows above a module, which must be expanded to show it; null if there is no such module.
export function keysAbove(tree, path) {
  const keys = [""];
  let at = "";
  let kind = tree.kinds[tree.root];
  for (const name of path ? path.split(".") : []) {
    const group = groupChildren(kind).find(({ names }) => names.includes(name));
    if (!group) return null;
    if (group.names.length > 1) keys.push(`${childPath(at, group.names[0])}-${group.names.at(-1)}`);
    at = childPath(at, name);
    if (at !== path) keys.push(at);
    kind = tree.kinds[group.index];
  }
  return keys;
}

// The first module of a dotted path, whose last name may be incomplete; null if there is none.
export function findPath(tree, query) {
  if (!query.includes(".")) return null;
  const names = query.split(".");
  let path = "";
  let kind = tree.kinds[tree.root];
  for (const [i, name] of names.entries()) {
    const child =
      kind.children.find(([other]) => other === name) ??
      (i === names.length - 1 ? kind.children.find(([other]) => other.startsWith(name)) : undefined);
    if (!child) return null;
    path = childPath(path, child[0]);
    kind = tree.kinds[child[1]];
  }
  return path;
}

// The first module that is declared in a line of the YAML, or in a line around it; null if there is none.
export function moduleAtLine(tree, lines, number) {
  const paths = pathsByLine(tree);
  let depth = Infinity;
  for (let n = number; n >= 1 && depth > 0; n -= 1) {
    const indent = (lines[n - 1] ?? "").search(/\S/);
    if (indent < 0 || indent >= depth) continue;
    if (paths.has(n)) return paths.get(n);
    depth = indent;
  }
  return null;
}

function pathsByLine(tree) {
  const paths = new Map();
  const seen = new Set();
  function walk(path, index) {
    const kind = tree.kinds[index];
    if (path && kind.line && kind.file === tree.file && !paths.has(kind.line)) paths.set(kind.line, path);
    for (const [name, below] of kind.children) {
      if (seen.has(`${below}/${kind.type}`)) continue;
      seen.add(`${below}/${kind.type}`);
      walk(childPath(path, name), below);
    }
  }
  walk("", tree.root);
  return paths;
}
