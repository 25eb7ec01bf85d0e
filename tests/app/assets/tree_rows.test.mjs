import assert from "node:assert/strict";
import { test } from "node:test";
import {
  findPath,
  groupChildren,
  keysAbove,
  moduleAtLine,
  parameterCounts,
  visibleRows,
} from "../../../app/archspec_app/assets/tree_rows.js";

const kind = (type, parameters, children = [], line = null) => ({ type, parameters, children, line, file: "net.yaml" });
const LINEAR = 0;
const LAYER = 1;
const LIST = 2;
const TREE = {
  name: "net",
  file: "net.yaml",
  root: 3,
  trainable: { "": 30, layers: 20, "layers.1": 0 },
  kinds: [
    kind("Linear", 10, [], 3),
    kind("Layer", 10, [["dense", LINEAR]], 5),
    kind(
      "ModuleList",
      30,
      [
        ["0", LAYER],
        ["1", LAYER],
        ["2", LAYER],
      ],
      5,
    ),
    kind("Net", 40, [
      ["layers", LIST],
      ["head", LINEAR],
    ]),
  ],
};
const keys = (expanded, query) => visibleRows(TREE, new Set(expanded), query).map((row) => row.key);

test("consecutive equal children are one group", () => {
  const children = [
    ["0", 1],
    ["1", 1],
    ["3", 1],
    ["4", 2],
    ["a", 2],
    ["b", 2],
  ];
  const groups = groupChildren({ children }).map(({ names }) => names.join());
  assert.deepEqual(groups, ["0,1", "3", "4", "a", "b"]);
});

test("only rows below expanded rows are visible", () => {
  assert.deepEqual(keys([]), [""]);
  assert.deepEqual(keys([""]), ["", "layers", "head"]);
  assert.deepEqual(keys(["", "layers"]), ["", "layers", "layers.0-2", "head"]);
  assert.deepEqual(keys(["", "layers", "layers.0-2", "layers.1"]), [
    "",
    "layers",
    "layers.0-2",
    "layers.0",
    "layers.1",
    "layers.1.dense",
    "layers.2",
    "head",
  ]);
});

test("a search shows the way to each match", () => {
  const rows = visibleRows(TREE, new Set(), "dense");
  assert.deepEqual(
    rows.map((row) => row.key),
    ["", "layers", "layers.0-2", "layers.0.dense"],
  );
  assert.deepEqual(
    rows.filter((row) => row.isHit).map((row) => row.path),
    ["layers.0.dense"],
  );
  assert.deepEqual(keys([], "nothing"), [""]);
  assert.deepEqual(keys([], "linear"), ["", "layers", "layers.0-2", "layers.0.dense", "head"]);
});

test("parameters of a row are those of all its modules", () => {
  const counts = visibleRows(TREE, new Set(["", "layers", "layers.0-2"])).map((row) => {
    const { trainable, total } = parameterCounts(TREE, row);
    return [row.key, trainable, total];
  });
  assert.deepEqual(counts, [
    ["", 30, 40],
    ["layers", 20, 30],
    ["layers.0-2", 20, 30],
    ["layers.0", 10, 10],
    ["layers.1", 0, 10],
    ["layers.2", 10, 10],
    ["head", 10, 10],
  ]);
});

test("a path leads to its module and to the rows above it", () => {
  assert.equal(findPath(TREE, "layers.1.den"), "layers.1.dense");
  assert.equal(findPath(TREE, "lay.1"), null);
  assert.equal(findPath(TREE, "head"), null, "a name alone is searched for");
  assert.deepEqual(keysAbove(TREE, "layers.1.dense"), ["", "layers", "layers.0-2", "layers.1"]);
  assert.deepEqual(keysAbove(TREE, ""), [""]);
  assert.equal(keysAbove(TREE, "layers.3"), null);
});

test("a line of the YAML leads to the module that is declared there or around it", () => {
  const lines = ["blocks:", "  Layer:", "    dense: Linear", "  Net:", "    layers:", "      repeat: 3", "freeze:"];
  const at = (number) => moduleAtLine(TREE, lines, number);
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7].map(at), [null, null, "layers.0.dense", null, "layers", "layers", null]);
});
