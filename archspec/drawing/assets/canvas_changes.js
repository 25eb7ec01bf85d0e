// What differs from another spec: of single modules as the data has it, and of those around and below them.

// Kinds of boxes, as the legend has them.
export const CHANGES = {
  added: "added",
  changed: "changed",
  moved: "moved",
  removed: "had more modules",
  inside: "changes inside",
  same: "the same",
};

const parentOf = (path) => (path ? path.slice(0, Math.max(0, path.lastIndexOf("."))) : null);

const knownAround = new WeakMap();
// The paths of all modules around those that differ.
function around(changes) {
  if (!knownAround.has(changes)) {
    const paths = new Set();
    const differing = [...Object.keys(changes.modules), ...Object.keys(changes.removed).map((path) => `${path}.`)];
    for (const path of differing) for (let p = parentOf(path); p !== null; p = parentOf(p)) paths.add(p);
    knownAround.set(changes, paths);
  }
  return knownAround.get(changes);
}

const own = (table, path) => (Object.hasOwn(table, path) ? table[path] : null);

// The kind of one module: its own, that of a new one around it, or what is below it.
export function changeOf(changes, path) {
  const direct = own(changes.modules, path)?.kind;
  if (direct) return direct;
  for (let at = parentOf(path); at !== null; at = parentOf(at)) {
    const kind = own(changes.modules, at)?.kind;
    if (kind === "added") return kind;
    if (kind) break;
  }
  if (own(changes.removed, path)) return "removed";
  return around(changes).has(path) ? "inside" : "same";
}

// The kind of a box that stands for several modules.
export function changeOfAll(changes, paths) {
  const kinds = new Set(paths.map((path) => changeOf(changes, path)));
  return kinds.size > 1 ? "inside" : ([...kinds][0] ?? "same");
}

// What has become of a module, in words; "" if nothing has.
export function changeText(changes, path) {
  const change = own(changes.modules, path);
  if (!change)
    return { added: "added, with a module around it", inside: "changes inside" }[changeOf(changes, path)] ?? "";
  const was = change.was !== undefined && `was ${change.was || "the whole model"}`;
  const types = change.types && change.types.join(" → ");
  const values = (change.arguments ?? []).map(
    ([name, old, now]) => `${name} ${old ?? "not given"} → ${now ?? "not given"}`,
  );
  return [change.kind, was, types, ...values].filter(Boolean).join("; ");
}

// How many modules differ, by kind: "2 added, 1 removed".
export function countText(changes) {
  const counts = new Map();
  const count = (kind, number) => counts.set(kind, (counts.get(kind) ?? 0) + number);
  for (const { kind } of Object.values(changes.modules)) count(kind, 1);
  for (const [, , modules] of Object.values(changes.removed).flat()) count("removed", modules);
  return [...counts].map(([kind, number]) => `${number.toLocaleString("en")} ${kind}`).join(", ") || "no difference";
}

// The modules that another spec has in one of these, or in the whole model: path, type, and how many it stands for.
export const removedFrom = (changes, path) => own(changes.removed, path) ?? [];
