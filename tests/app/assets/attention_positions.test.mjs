import assert from "node:assert/strict";
import { test } from "node:test";
import { meanOfHeads, positionNames } from "../../../app/archspec_app/assets/attention_positions.js";
import { formatValue } from "../../../app/archspec_app/assets/value_format.js";

test("the mean of heads", () => {
  const one = [[1, 0]];
  const other = [[0, 1]];
  assert.deepEqual(meanOfHeads([one, other, other, one]), [[0.5, 0.5]]);
  assert.deepEqual(meanOfHeads([[[0.25], [0.5]]]), [[0.25], [0.5]]);
});

test("positions have the names of their tokens, or numbers", () => {
  assert.deepEqual(positionNames(["[CLS]", "a", "internationalization"], 3), ["[CLS]", "a", "international…"]);
  assert.deepEqual(positionNames(["a"], 2), ["1", "2"]);
  assert.deepEqual(positionNames([], 1), ["1"]);
});

test("values have four digits", () => {
  assert.deepEqual([0, -0.123456, 123456, 1e-9, null].map(formatValue), ["0", "-0.1235", "123500", "1e-9", "–"]);
});
