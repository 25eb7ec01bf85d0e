import assert from "node:assert/strict";
import { test } from "node:test";
import {
  changeOf,
  changeOfAll,
  changeText,
  countText,
  removedFrom,
} from "../../../archspec/drawing/assets/canvas_changes.js";

const changes = {
  against: "old",
  modules: {
    "encoder.layer.1": { kind: "added" },
    "encoder.layer.1.old": { kind: "moved", was: "encoder.old" },
    head: { kind: "changed", types: ["Linear", "Head"], arguments: [["bias", null, "False"]] },
  },
  removed: { pooler: [["pooler.dense", "Linear", 1]], "": [["tail", "Tail", 3]] },
};

test("a module has its own kind, that of a new one around it, or that of what is in it", () => {
  const kinds = {
    head: "changed",
    "head.fc": "same",
    "encoder.layer.1": "added",
    "encoder.layer.1.fc": "added",
    "encoder.layer.1.old": "moved",
    "encoder.layer.1.old.fc": "same",
    encoder: "inside",
    "encoder.layer": "inside",
    "encoder.layer.0": "same",
    pooler: "removed",
    "": "removed",
    constructor: "same",
    __proto__: "same",
  };
  for (const [path, kind] of Object.entries(kinds)) assert.equal(changeOf(changes, path), kind, path);
  assert.equal(changeOf({ ...changes, removed: { "a.b": [["x", "X", 1]] } }, "a"), "inside");
});

test("a box of several modules has their kind, if it is one", () => {
  assert.equal(changeOfAll(changes, ["encoder.layer.0", "encoder.layer.2"]), "same");
  assert.equal(changeOfAll(changes, ["encoder.layer.0", "encoder.layer.1"]), "inside");
  assert.equal(changeOfAll(changes, ["encoder.layer.1", "encoder.layer.1.fc"]), "added");
  assert.equal(changeOfAll(changes, []), "same");
});

test("changes in words", () => {
  assert.equal(changeText(changes, "head"), "changed; Linear → Head; bias not given → False");
  assert.equal(changeText(changes, "encoder.layer.1.old"), "moved; was encoder.old");
  assert.equal(changeText(changes, "encoder.layer.1.fc"), "added, with a module around it");
  assert.equal(changeText(changes, "encoder"), "changes inside");
  assert.equal(changeText(changes, "encoder.layer.0"), "");
  assert.equal(countText(changes), "1 added, 1 moved, 1 changed, 4 removed");
  assert.equal(countText({ against: "x", modules: {}, removed: {} }), "no difference");
  assert.deepEqual(removedFrom(changes, ""), [["tail", "Tail", 3]]);
  assert.deepEqual(removedFrom(changes, "constructor"), []);
});
