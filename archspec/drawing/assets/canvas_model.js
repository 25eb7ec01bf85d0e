// What is to be seen of a model: the boxes of open blocks, and equal modules folded into one.

export const MAX_STEPS = 300; // boxes of one block; more are shown as groups of steps
const MAX_UNFOLDED = 24; // members of a group that are shown one by one; more are groups again

const joinPath = (at, path) => (at && path ? `${at}.${path}` : at || path);

// The path of a module or tensor in a block at a path; null for everything else.
export const pathOf = (node, at) =>
  node.path === undefined && node.kind !== "module" ? null : node.outside ? node.path : joinPath(at, node.path ?? "");

const keysByFlow = new WeakMap();
const escapeKey = (name) => name.replace(/[%/~…]/g, (sign) => `%${sign.codePointAt(0).toString(16)}`);

// A key for each node of a flow, which edits elsewhere in the block leave as it is. Names are
// untrusted: what has a meaning in keys is escaped.
function keysOf(flow) {
  if (!keysByFlow.has(flow)) {
    const counts = new Map();
    const keyOf = (node) => {
      const name = node.path === undefined ? `%${node.kind} ${escapeKey(node.name)}` : escapeKey(node.path);
      const count = counts.get(name) ?? 0;
      counts.set(name, count + 1);
      return count ? `${name}~${count}` : name;
    };
    keysByFlow.set(flow, flow.nodes.map(keyOf));
  }
  return keysByFlow.get(flow);
}

// Units: what is one box of an open block. Members are indices of the flow's nodes.
function unfold(kind, parts, prefix, flow, unfolded, isUnfolded = false) {
  if (parts.length === 1) {
    const [members] = parts;
    const own = keysOf(flow);
    return members.length > 1
      ? unfold(
          "chain",
          members.map((member) => [member]),
          prefix,
          flow,
          unfolded,
        )
      : [{ kind: "one", key: prefix + own[members[0]], members }];
  }
  const members = parts.flat();
  const own = keysOf(flow);
  const key = `${prefix}%${kind} ${own[members[0]]}…${own[members.at(-1)]}`;
  if (!isUnfolded && !unfolded.has(key)) return [{ kind, key, members }];
  const size = parts.length > MAX_UNFOLDED ? Math.ceil(Math.sqrt(parts.length)) : 1;
  const pieces = [];
  for (let i = 0; i < parts.length; i += size) pieces.push(parts.slice(i, i + size));
  const units = pieces.flatMap((piece) => unfold(kind, piece, prefix, flow, unfolded));
  if (!isUnfolded) units[0].folds ??= key;
  return units;
}

// The units of a block, in the order of its forward, with keys that begin with the prefix; "folds"
// is the key of the group that a first one closes.
export function unitsOf(flow, prefix, unfolded) {
  const chains = new Map(flow.chains.flatMap((chain) => chain.map((member) => [member, chain])));
  const parts = [];
  flow.nodes.forEach((_, i) => {
    const chain = chains.get(i) ?? [i];
    if (chain[0] === i) parts.push(chain);
  });
  if (parts.length <= MAX_STEPS) return parts.flatMap((part) => unfold("one", [part], prefix, flow, unfolded));
  return unfold("steps", parts, prefix, flow, unfolded, true);
}

// The arrows between units: everything that flows from one to another is one arrow.
export function arrowsOf(flow, units) {
  const unitOf = new Map(units.flatMap((unit) => unit.members.map((member) => [member, unit])));
  const arrows = new Map();
  for (const edge of flow.edges) {
    const source = unitOf.get(edge.source);
    const target = unitOf.get(edge.target);
    if (source === target) continue;
    const key = `${source.key}\n${target.key}`;
    if (!arrows.has(key)) arrows.set(key, { key, source, target, edges: [] });
    arrows.get(key).edges.push(edge);
  }
  return [...arrows.values()];
}

// "[batch, seq, 768] × 2", or two different shapes and how many more there are.
export function arrowText({ source, target, edges }) {
  const texts = [...new Set(edges.map((edge) => edge.text))];
  const isCounted = texts.length === 1 && source.members.length === 1 && target.members.length === 1;
  const times = isCounted && edges.length > 1 ? ` × ${edges.length}` : "";
  const more = texts.length > 2 ? ` and ${texts.length - 2} more` : "";
  return texts.slice(0, 2).join(", ") + times + more;
}

// "layer[0]" and "layer[11]" are "layer[0-11]", as in the drawings.
export function nameRange(first, last) {
  const numbers = [...last.matchAll(/\d+/g)];
  for (const [i, match] of [...first.matchAll(/\d+/g)].entries()) {
    const end = numbers[i]?.[0];
    if (end === undefined || end === match[0]) continue;
    return `${first.slice(0, match.index)}${match[0]}-${end}${first.slice(match.index + match[0].length)}`;
  }
  return first;
}

// What stands on a unit: its name, and what it is.
export function unitText(flow, unit) {
  const nodes = unit.members.map((member) => flow.nodes[member]);
  const [node] = nodes;
  if (unit.kind === "steps") {
    const names = `${node.name} … ${nodes.at(-1).name}`;
    return { name: `${nodes.length.toLocaleString("en")} steps`, type: names, called: 1 };
  }
  if (unit.kind === "one") {
    const isModule = node.kind === "module";
    const name = node.kind === "operation" ? (node.text ?? node.name) : node.name;
    return { name, type: isModule && node.type !== node.name ? node.type : "", called: 1 };
  }
  const paths = new Set(nodes.map((one) => one.path));
  const times = paths.size > 1 ? `${paths.size.toLocaleString("en")} × ` : "";
  return { name: nameRange(node.name, nodes.at(-1).name), type: times + node.type, called: nodes.length / paths.size };
}

// A figure of all modules of a unit; each module once, however often it is called.
export function figureOf(flow, unit, name) {
  const seen = new Set();
  let sum = 0;
  for (const member of unit.members) {
    const node = flow.nodes[member];
    if (node.kind !== "module" || seen.has(node.path)) continue;
    seen.add(node.path);
    sum += node[name] ?? 0;
  }
  return sum;
}

// The state that all members have: what a freeze plan makes of them.
export function stateOf(flow, unit) {
  const states = new Set(unit.members.map((member) => flow.nodes[member].state).filter(Boolean));
  if (states.size > 1) states.delete("no parameters");
  return states.size > 1 ? "partly frozen" : ([...states][0] ?? "");
}

export const ROOT = "model";

// Where a module's box is: its key, and what must be open and unfolded so that it is to be seen.
export function locate(data, path) {
  const open = new Set();
  const unfolded = new Set();
  let [key, at, node] = [ROOT, "", data.root];
  while (at !== path && data.flows[node.flow]) {
    const flow = data.flows[node.flow];
    const hit = memberAt(flow, at, path);
    if (!hit) break;
    const { member, isInside } = hit;
    open.add(key);
    let unit = unitWith(flow, `${key}/`, unfolded, member);
    while (unit.members.length > 1 && !(isInside && unit.kind === "chain")) {
      unfolded.add(unit.key);
      unit = unitWith(flow, `${key}/`, unfolded, member);
    }
    key = unit.key;
    if (isInside) break;
    at = pathOf(flow.nodes[member], at);
    node = flow.nodes[member];
  }
  return { key, open, unfolded };
}

const unitWith = (flow, key, unfolded, member) =>
  unitsOf(flow, key, unfolded).find((unit) => unit.members.includes(member));

// The node of a module or of one around it; or the first one in it, if it is a container.
function memberAt(flow, at, path) {
  let best = -1;
  let length = -1;
  let inside = -1;
  flow.nodes.forEach((node, i) => {
    if (node.kind !== "module") return;
    const own = pathOf(node, at);
    const contains = own === path || path.startsWith(`${own}.`);
    if (contains && own !== at && own.length > length) [best, length] = [i, own.length];
    if (inside < 0 && own.startsWith(`${path}.`)) inside = i;
  });
  if (best >= 0) return { member: best, isInside: false };
  return inside >= 0 ? { member: inside, isInside: true } : null;
}

// All modules that the forward runs, from the root down, each path once.
export function* modulesOf(data, node = data.root, at = "", seen = new Set()) {
  for (const inner of data.flows[node.flow]?.nodes ?? []) {
    if (inner.kind !== "module") continue;
    const path = pathOf(inner, at);
    if (seen.has(path)) continue;
    seen.add(path);
    yield { path, node: inner };
    yield* modulesOf(data, inner, path, seen);
  }
}

// Modules in whose path or type all words occur; "layer[3]" finds "layer.3".
export function search(data, query, limit) {
  const words = query
    .toLowerCase()
    .replace(/\[(\d+)\]/g, ".$1")
    .split(/\s+/)
    .filter(Boolean);
  const hits = [];
  let count = 0;
  for (const { path, node } of words.length ? modulesOf(data) : []) {
    const text = `${path} ${node.type}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) continue;
    count += 1;
    if (hits.length < limit) hits.push({ path, type: node.type });
  }
  return { hits, count };
}

// The keys of all blocks that can be open at once without more than so many boxes; those that are
// nearest to the root come first.
export function openableKeys(data, unfolded, most) {
  const open = new Set();
  const pending = [{ key: ROOT, node: data.root }];
  let count = 1;
  for (const { key, node } of pending) {
    const flow = data.flows[node.flow];
    if (!flow) continue;
    const units = unitsOf(flow, `${key}/`, unfolded);
    if (count + units.length > most) return { open, isCut: true };
    count += units.length;
    open.add(key);
    for (const unit of units)
      if (unit.kind === "one") pending.push({ key: unit.key, node: flow.nodes[unit.members[0]] });
  }
  return { open, isCut: false };
}
