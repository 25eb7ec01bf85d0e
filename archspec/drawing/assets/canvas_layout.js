// Lays out open blocks, from the innermost to the root: each is a graph of its own, as large as it
// has to be, and one box of the block around it. What was laid out before is taken as it was.
import { arrowsOf, arrowText, figureOf, pathOf, ROOT, stateOf, unitsOf, unitText } from "./canvas_model.js";
import { graphLibraries } from "./graph_libraries.js";
import { formatCount, formatOperations, formatSize } from "./numbers.js";

const LINE = 15;
const HEAD = 26;
const PADDING = 12;
const MAX_TEXT = 48;

export const OVERLAYS = {
  state: { label: "Trainable or frozen", figure: "parameters", format: formatCount },
  parameters: { label: "Parameters", figure: "parameters", format: formatCount },
  macs: { label: "MACs", figure: "macs", format: formatOperations, unit: " MACs" },
  activations: { label: "Activations saved for backward", figure: "activations", format: formatSize, about: "≈ " },
  changes: { label: "Difference from another spec", figure: "parameters", format: formatCount },
};

const shorten = (text) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT - 1)}…` : text);

// The model as boxes within boxes. Keys and paths are relative to the block around: equal blocks
// that are open alike are laid out once. State: sets of the keys of open blocks and of unfolded
// groups, the overlay, and a map that keeps layouts. "measure" gives the width of a text in pixels.
export function layoutModel(data, state, measure) {
  const unit = { kind: "one", key: ROOT, members: [0] };
  const whole = { nodes: [data.root], edges: [], chains: [] };
  const box = boxOfUnit(data, whole, unit, state, measure);
  return { width: box.width, height: box.height, boxes: [{ ...box, x: 0, y: 0 }], arrows: [] };
}

function boxOfUnit(data, flow, unit, state, measure) {
  const node = flow.nodes[unit.members[0]];
  const text = unitText(flow, unit);
  const overlay = OVERLAYS[state.overlay];
  const value = figureOf(flow, unit, overlay.figure);
  const figure = value ? `${overlay.about ?? ""}${overlay.format(value)}${overlay.unit ?? ""}` : "";
  const called = text.called > 1 ? `called ${text.called} ×` : "";
  const box = {
    unit,
    flow,
    node,
    key: unit.key,
    state: stateOf(flow, unit),
    value,
    canOpen: unit.kind !== "one" || data.flows[node.flow] !== undefined,
    title: shorten(text.name),
    sub: shorten([text.type, figure, called].filter(Boolean).join(" · ")),
  };
  const room = box.canOpen ? 22 : 0;
  const widths = [measure(box.title, true), measure(box.sub, false)];
  box.width = Math.max(44, Math.ceil(Math.max(...widths)) + 20 + room);
  box.height = (box.sub ? 2 : 1) * LINE + 10;
  if (unit.kind !== "one" || !state.open.has(unit.key) || !box.canOpen) return box;
  const inner = layoutFlow(data, node.flow, within(state, `${unit.key}/`), measure);
  const headWidth = widths[0] + widths[1] + 40 + room;
  box.inner = inner;
  box.innerX = PADDING + Math.max(0, (headWidth - inner.width - 2 * PADDING) / 2);
  box.innerY = HEAD + PADDING;
  box.width = Math.max(headWidth, inner.width + 2 * PADDING);
  box.height = inner.height + HEAD + 2 * PADDING;
  return box;
}

// The state of what is in a block, relative to it.
function within(state, prefix) {
  const inner = (keys) =>
    new Set([...keys].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)));
  return { ...state, open: inner(state.open), unfolded: inner(state.unfolded) };
}

function layoutFlow(data, index, state, measure) {
  const flow = data.flows[index];
  const key = [index, state.overlay, ...[...state.open].toSorted(), "", ...[...state.unfolded].toSorted()].join("\n");
  if (state.cache.has(key)) return state.cache.get(key);
  const units = unitsOf(flow, "", state.unfolded);
  const graph = new graphLibraries.Graph();
  const ranker = units.length > 60 ? "longest-path" : "network-simplex";
  graph.setGraph({ rankdir: "TB", nodesep: 18, edgesep: 12, ranksep: 26, ranker });
  const boxes = units.map((unit) => boxOfUnit(data, flow, unit, state, measure));
  // The graph keeps its nodes in plain objects: names of modules, such as "constructor", are no keys for it.
  for (const [i, box] of boxes.entries()) graph.setNode(i, { width: box.width, height: box.height });
  const arrows = arrowsOf(flow, units).map((arrow) => ({ ...arrow, text: shorten(arrowText(arrow)) }));
  const orders = new Map(units.map((unit, i) => [unit, i]));
  const ends = ({ source, target }) => [orders.get(source), orders.get(target)];
  for (const arrow of arrows) {
    const { source, target, text } = arrow;
    const isNext = orders.get(target) === orders.get(source) + 1; // the main line of a block is straight
    const label = { width: measure(text, false) + 8, height: LINE, labelpos: "c", weight: isNext ? 8 : 1 };
    graph.setEdge(...ends(arrow), label);
  }
  graphLibraries.dagreLayout(graph);
  if (isMirrored(boxes.map((_, i) => graph.node(i)))) mirror(graph);
  const { width, height } = graph.graph();
  const layout = {
    width,
    height,
    boxes: boxes.map((box, i) => {
      const { x, y } = graph.node(i);
      return { ...box, x: x - box.width / 2, y: y - box.height / 2 };
    }),
    arrows: arrows.map((arrow) => {
      const { points, x, y } = graph.edge(...ends(arrow));
      return { ...arrow, flow, points, x, y };
    }),
  };
  state.cache.set(key, layout);
  return layout;
}

// Whether most neighbours stand in the opposite order of the forward.
function isMirrored(places) {
  let balance = 0;
  const lasts = new Map();
  for (const { x, y } of places) {
    if (lasts.has(y)) balance += Math.sign(x - lasts.get(y));
    lasts.set(y, x);
  }
  return balance < 0;
}

function mirror(graph) {
  const { width } = graph.graph();
  const turn = (point) => {
    point.x = width - point.x;
  };
  for (const node of graph.nodes()) turn(graph.node(node));
  for (const edge of graph.edges().map((name) => graph.edge(name))) [edge, ...edge.points].forEach(turn);
}

// All boxes of a layout with their keys, paths and places on the canvas, those of open blocks before
// what is in them. The path is null for what is no module; "modules" has the paths of all that a box stands for.
export function* boxesOf(layout, parent = { key: "", path: "", x: 0, y: 0, depth: 0 }) {
  for (const box of layout.boxes) {
    const key = parent.key + box.key;
    const isModule = box.node.kind === "module" && box.unit.kind !== "steps";
    const path = isModule ? pathOf(box.node, parent.path) : null;
    const nodes = box.unit.members.map((member) => box.flow.nodes[member]).filter(({ kind }) => kind === "module");
    const modules = nodes.map((node) => pathOf(node, parent.path));
    const at = { box, key, path, modules, x: parent.x + box.x, y: parent.y + box.y, depth: parent.depth };
    yield at;
    if (!box.inner) continue;
    const inner = { key: `${key}/`, path, x: at.x + box.innerX, y: at.y + box.innerY, depth: at.depth + 1 };
    yield* boxesOf(box.inner, inner);
  }
}
