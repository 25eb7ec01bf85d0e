import assert from "node:assert/strict";
import { test } from "node:test";
import { canCopy, copyInto, declarationAt } from "../../../app/archspec_app/assets/copy_declaration.js";

const SOURCE = `params:
    width: {default: 8,
            help: "a # b"}  # of all layers
    depth: 2

blocks:
    Cell:
        inputs: {x: [batch]}

        # one layer
        modules:
            fc: {type: Linear}
    Net: {modules: {}}
`;
const CELL = { section: "blocks", name: "Cell" };
const WIDTH = { section: "params", name: "width" };
const copied = (text, what) => {
  const { from, insert } = copyInto(text, SOURCE, what);
  return text.slice(0, from) + insert + text.slice(from);
};
const CELL_LINES = `  Cell:
      inputs: {x: [batch]}

      # one layer
      modules:
          fc: {type: Linear}
`;

test("what is declared at a place", () => {
  const at = (part) => declarationAt(SOURCE, SOURCE.indexOf(part));
  assert.deepEqual(at("help"), WIDTH);
  assert.deepEqual(at("    width"), WIDTH);
  assert.deepEqual(at("# of all"), WIDTH);
  assert.deepEqual(at("# one layer"), CELL);
  assert.deepEqual(at("Net"), { section: "blocks", name: "Net" });
  assert.equal(at("blocks:"), null);
});

test("it stands at the end of its section, indented as the others", () => {
  assert.equal(copied("archspec: 1\n", CELL), `archspec: 1\n\nblocks:\n${CELL_LINES}`);
  assert.equal(copied("archspec: 1", CELL), `archspec: 1\n\nblocks:\n${CELL_LINES}`);
  assert.equal(copied("", CELL), `blocks:\n${CELL_LINES}`);
  assert.equal(copied("blocks:\n", CELL), `blocks:\n${CELL_LINES}`);
  assert.equal(
    copied("blocks:\n  A:\n    modules: {}  # x\n\ninit: []\n", CELL),
    `blocks:\n  A:\n    modules: {}  # x\n${CELL_LINES}\ninit: []\n`,
  );
  assert.equal(
    copied("params:\n   a: 1\nmodel: A", WIDTH),
    `params:\n   a: 1\n   width: {default: 8,\n           help: "a # b"}  # of all layers\nmodel: A`,
  );
  assert.equal(
    copyInto("", "params: {a: {default: 1}, b: 2}", { section: "params", name: "a" }).insert,
    "params:\n  a: {default: 1}\n",
  );
});

test("what a text has, or takes from that file, is not copied", () => {
  assert.ok(canCopy("archspec: 1\n", "lib/net.yaml", CELL));
  assert.ok(canCopy("use: [other.yaml]\n", "lib/net.yaml", CELL));
  assert.ok(!canCopy("use: [net.yaml]\n", "lib/net.yaml", CELL));
  assert.ok(!canCopy("blocks:\n  Cell: {}\n", "lib/net.yaml", CELL));
  assert.ok(!canCopy("blocks: {}\n", "lib/net.yaml", CELL), "in braces");
});
