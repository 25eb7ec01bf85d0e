import assert from "node:assert/strict";
import { test } from "node:test";
import { changedPart, offsetOf, rangeOf } from "../../../app/archspec_app/assets/positions.js";

// A document as the editor has it.
function docOf(text) {
  const lines = text.split("\n");
  return {
    lines: lines.length,
    line(number) {
      const from = lines.slice(0, number - 1).join("\n").length + (number > 1 ? 1 : 0);
      return { from, to: from + lines[number - 1].length, text: lines[number - 1] };
    },
  };
}

test("a place counts characters, an offset code units", () => {
  const doc = docOf("a: 1\n😀b: 2\n");
  assert.equal(offsetOf(doc, 1, 4), 3);
  assert.equal(offsetOf(doc, 2, 2), 7); // behind the emoji
  assert.equal(offsetOf(doc, 2, 99), 11);
  assert.equal(offsetOf(doc, 99), 12);
});

test("a stretch of nothing is the character beside it", () => {
  const doc = docOf("ab\n\nc");
  assert.deepEqual(rangeOf(doc, 1, 1, 3), { from: 0, to: 2 });
  assert.deepEqual(rangeOf(doc, 1, 1, 1), { from: 0, to: 1 });
  assert.deepEqual(rangeOf(doc, 1, 3, null), { from: 1, to: 2 });
  assert.deepEqual(rangeOf(doc, 2, 1, 1), { from: 3, to: 3 });
});

test("the smallest change makes the other text", () => {
  const rows = [
    ["", "a", { from: 0, to: 0, insert: "a" }],
    ["a", "", { from: 0, to: 1, insert: "" }],
    ["aa", "aaa", { from: 2, to: 2, insert: "a" }],
    ["abc", "axc", { from: 1, to: 2, insert: "x" }],
    ["abab", "ab", { from: 2, to: 4, insert: "" }],
  ];
  for (const [old, text, change] of rows) assert.deepEqual(changedPart(old, text), change, `${old} to ${text}`);
  assert.equal(changedPart("a", "a"), null);
});
