import assert from "node:assert/strict";
import { test } from "node:test";
import { heatOf, lineThrough } from "../../../archspec/drawing/assets/canvas_draw.js";
import { boxesOf, layoutModel } from "../../../archspec/drawing/assets/canvas_layout.js";
import {
  arrowsOf,
  arrowText,
  figureOf,
  locate,
  nameRange,
  openableKeys,
  ROOT,
  search,
  unitsOf,
  unitText,
} from "../../../archspec/drawing/assets/canvas_model.js";

const input = { kind: "input", name: "x" };
const module = (path, more = {}) => ({ kind: "module", name: path, path, type: "Linear", parameters: 10, ...more });
const edge = (source, target, text = "[4]") => ({ source, target, text, shape: [4] });

// x → layer.0 → … → layer.n-1 → out, where every layer also takes x.
function chain(count, inner = undefined) {
  const nodes = [input];
  const edges = [];
  for (let i = 0; i < count; i += 1) {
    nodes.push({ ...module(`layer.${i}`), name: `layer[${i}]`, type: "Layer", flow: inner });
    edges.push(edge(i, i + 1));
    if (i) edges.push(edge(0, i + 1));
  }
  nodes.push({ kind: "output", name: "out" });
  edges.push(edge(count, count + 1));
  return { nodes, edges, chains: [nodes.map((_, i) => i).slice(1, -1)], notes: [] };
}
function model(count) {
  const layer = {
    nodes: [input, module("fc", { name: "fc" }), { kind: "output", name: "out" }],
    edges: [edge(0, 1), edge(1, 2)],
    chains: [],
    notes: [],
  };
  const root = { kind: "module", name: "Net", type: "Net", parameters: 10 * count, flow: 0 };
  return { spec: "net", root, flows: [chain(count, 1), layer] };
}
const texts = (flow, units) => units.map((unit) => unitText(flow, unit).name);

test("equal modules are one box, which unfolds into its members, or into groups of them", () => {
  const flow = chain(3);
  const folded = unitsOf(flow, "", new Set());
  assert.deepEqual(texts(flow, folded), ["x", "layer[0-2]", "out"]);
  assert.equal(unitText(flow, folded[1]).type, "3 × Layer");
  assert.equal(figureOf(flow, folded[1], "parameters"), 30);
  const drawn = arrowsOf(flow, folded).map(({ source, target }) => [source.members[0], target.members[0]]);
  assert.deepEqual(drawn, [
    [0, 1],
    [1, 4],
  ]);
  const unfolded = unitsOf(flow, "", new Set([folded[1].key]));
  assert.deepEqual(texts(flow, unfolded), ["x", "layer[0]", "layer[1]", "layer[2]", "out"]);
  assert.equal(unfolded[1].folds, folded[1].key);
  const large = chain(100);
  const [, group] = unitsOf(large, "", new Set());
  const groups = unitsOf(large, "", new Set([group.key]));
  assert.equal(groups.length, 12);
  assert.equal(texts(large, groups)[1], "layer[0-9]");
});

test("a block of very many steps is shown as groups of steps", () => {
  const count = 1000;
  const nodes = Array.from({ length: count }, (_, i) => module(`l${i}`));
  const flow = { nodes, edges: nodes.slice(1).map((_, i) => edge(i, i + 1)), chains: [] };
  const units = unitsOf(flow, "", new Set());
  assert.deepEqual(
    units.flatMap(({ members }) => members),
    nodes.map((_, i) => i),
  );
  assert.deepEqual([units.length, units[0].kind, texts(flow, units)[0]], [32, "steps", "32 steps"]);
  assert.equal(arrowsOf(flow, units).length, 31);
});

test("a module that is called again and again is counted once", () => {
  const flow = { nodes: [module("a"), module("a"), module("a")], edges: [edge(0, 1), edge(1, 2)], chains: [[0, 1, 2]] };
  const [unit] = unitsOf(flow, "", new Set());
  assert.deepEqual(unitText(flow, unit), { name: "a", type: "Linear", called: 3 });
  assert.equal(figureOf(flow, unit, "parameters"), 10);
});

test("arrows say what flows", () => {
  const unit = (...members) => ({ members });
  const text = (edges, target = unit(1)) => arrowText({ source: unit(0), target, edges });
  assert.equal(text([edge(0, 1), edge(0, 1)]), "[4] × 2");
  assert.equal(text([edge(0, 1), edge(0, 2)], unit(1, 2)), "[4]");
  assert.equal(text(["a", "b", "c", "d"].map((shape) => edge(0, 1, shape))), "a, b and 2 more");
});

test("names of ranges are those of the drawings", () => {
  assert.equal(nameRange("encoder.layer[0]", "encoder.layer[11]"), "encoder.layer[0-11]");
  assert.equal(nameRange("a", "a"), "a");
});

test("a module is found, with what must be open and unfolded around it", () => {
  const data = model(3);
  const hit = locate(data, "layer.1.fc");
  assert.deepEqual([...hit.open], [ROOT, `${ROOT}/layer.1`]);
  assert.equal(hit.key, `${ROOT}/layer.1/fc`);
  assert.equal(hit.unfolded.size, 1);
  assert.equal(locate(data, "").key, ROOT);
  assert.equal(locate(data, "no.such").key, ROOT);
  assert.match(locate(data, "layer").key, /%chain layer\.0…layer\.2$/, "a container is the box of what is in it");
});

test("search looks at paths and types of all modules, also those of closed blocks", () => {
  const data = model(3);
  assert.deepEqual(search(data, "LAYER[1] linear", 9), { hits: [{ path: "layer.1.fc", type: "Linear" }], count: 1 });
  assert.deepEqual([search(data, "layer", 2).hits.length, search(data, "layer", 2).count], [2, 6]);
  assert.equal(search(data, " ", 9).count, 0);
});

test("names cannot be taken for keys", () => {
  const nodes = ["a", "a", "a~1", "a/b", "%chain a…b"].map((path) => module(path));
  const keys = unitsOf({ nodes, edges: [], chains: [] }, "", new Set()).map(({ key }) => key);
  assert.equal(new Set(keys).size, 5);
  assert.ok(keys.every((key) => !key.includes("/") && !key.startsWith("%chain")));
});

test("only open blocks are laid out, and what is in one stands inside it", () => {
  const data = model(2);
  const state = { open: new Set([ROOT]), unfolded: new Set(), overlay: "state", cache: new Map() };
  const measure = (text) => 6 * text.length;
  const places = () => new Map([...boxesOf(layoutModel(data, state, measure))].map((place) => [place.path, place]));
  assert.deepEqual([...places().keys()].filter(Boolean), ["layer.0"]);
  for (const [name, keys] of Object.entries(locate(data, "layer.1.fc")))
    if (name !== "key") for (const key of keys) state[name].add(key);
  const at = places();
  const [outer, inner] = [at.get("layer.1"), at.get("layer.1.fc")];
  assert.ok(inner.x > outer.x && inner.x + inner.box.width < outer.x + outer.box.width);
  assert.ok(inner.y > outer.y && inner.y + inner.box.height < outer.y + outer.box.height);
  assert.ok(at.get("layer.0").y < outer.y);
  assert.equal(at.has("layer.0.fc"), false);
});

test("modules are laid out whatever their names", () => {
  const names = ["constructor", "toString", "__proto__", "hasOwnProperty"];
  const edges = names.map((_, i) => edge(i, i + 1));
  const flow = { nodes: [input, ...names.map((name) => module(name))], edges, chains: [], notes: [] };
  const data = { spec: "net", root: { kind: "module", name: "Net", type: "Net", flow: 0 }, flows: [flow] };
  const state = { open: new Set([ROOT]), unfolded: new Set(), overlay: "state", cache: new Map() };
  const [{ inner }] = layoutModel(data, state, (text) => 7 * text.length).boxes;
  assert.deepEqual(
    inner.boxes.map(({ title }) => title),
    ["x", ...names],
  );
  assert.ok(inner.boxes.every(({ y }, i) => !i || y > inner.boxes[i - 1].y));
});

test("all blocks are opened as far as there is room, the outer ones first", () => {
  const data = model(3);
  const [, group] = unitsOf(data.flows[0], `${ROOT}/`, new Set());
  const unfolded = new Set([group.key]);
  assert.deepEqual([openableKeys(data, unfolded, 100).open.size, openableKeys(data, unfolded, 100).isCut], [4, false]);
  assert.deepEqual([openableKeys(data, unfolded, 10).open.size, openableKeys(data, unfolded, 10).isCut], [2, true]);
});

test("a share of the model has a color, and nothing has none", () => {
  assert.deepEqual(
    [0, 0.0001, 0.001, 0.02, 0.05, 0.2, 1].map((share) => heatOf(1000 * share, 1000)),
    [0, 1, 2, 3, 4, 5, 6],
  );
  assert.equal(heatOf(0, 0), 0);
});

test("a line begins and ends where an arrow does", () => {
  const at = (x, y) => ({ x, y });
  assert.equal(lineThrough([at(0, 0), at(0, 10)]), "M0,0 L0,10");
  assert.equal(lineThrough([at(0, 0), at(4, 5), at(0, 10)]), "M0,0 Q4,5 0,10");
});
