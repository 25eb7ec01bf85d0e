import assert from "node:assert/strict";
import { test } from "node:test";
import {
  inRange,
  nearestPoint,
  ranges,
  scaleTo,
  smooth,
  speeds,
  thinOut,
  ticks,
} from "../../../app/archspec_app/assets/chart_scale.js";
import {
  formatDuration,
  formatProbability,
  formatScore,
  formatShapes,
} from "../../../archspec/drawing/assets/numbers.js";
import { differences, sortRows } from "../../../app/archspec_app/assets/run_order.js";
import { locatePatch, withUnixLineBreaks } from "../../../app/archspec_app/assets/text_edits.js";

function table(act, rows) {
  for (const [input, expected] of rows) assert.deepEqual(act(input), expected, JSON.stringify(input));
}

test("durations, probabilities and scores", () => {
  table(formatDuration, [
    [null, "–"],
    [0.4, "0 s"],
    [59.6, "1 min 0 s"],
    [61, "1 min 1 s"],
    [7320, "2 h 2 min"],
  ]);
  table(formatProbability, [
    [0, "0.0 %"],
    [0.0012, "0.12 %"],
    [0.0996, "10.0 %"],
    [1, "100.0 %"],
  ]);
  table(formatScore, [
    [undefined, "–"],
    [0.90814, "0.9081"],
  ]);
});

test("a long curve keeps its ends and its peaks", () => {
  const points = Array.from({ length: 10_000 }, (_, step) => [step, step === 4321 ? 99 : Math.sin(step)]);
  const thinned = thinOut(points);
  assert.ok(thinned.length <= 1000);
  assert.ok(thinned.some(([step, value]) => step === 4321 && value === 99));
  assert.deepEqual(
    thinned,
    thinned.toSorted((a, b) => a[0] - b[0]),
  );
  assert.equal(thinOut(points.slice(0, 900)).length, 900);
});

test("a curve is smoothed without a pull to 0, and cut to a range", () => {
  const points = [0, 1, 2, 3].map((x) => [x, 4]);
  assert.deepEqual(smooth(points, 0.9), points);
  assert.deepEqual(
    smooth(
      [
        [0, 0],
        [1, 3],
      ],
      0.5,
    ),
    [
      [0, 0],
      [1, 2],
    ],
  );
  assert.deepEqual(
    smooth(
      [
        [0, 1],
        [1, 5],
      ],
      0,
    ),
    [
      [0, 1],
      [1, 5],
    ],
  );
  assert.deepEqual(inRange(points, [1, 2]), points.slice(1, 3));
  assert.equal(inRange(points, undefined), points);
  assert.deepEqual(ranges(points, [1, 2]), { x: [1, 2], y: [3.5, 4.5] });
  assert.deepEqual(nearestPoint(points, 2.4), [2, 4]);
});

test("a tick of a large value is whole, as long as it is short", () => {
  const labels = (range) => ticks(range).map(({ label }) => label);
  assert.deepEqual(labels([267, 1603]), ["267", "935", "1,600"]);
  assert.deepEqual(labels([14200, 138000]), ["14,200", "76,100", "138,000"]);
  assert.deepEqual(labels([1e7, 3e7]), ["1.00e+7", "2.00e+7", "3.00e+7"]);
});

test("a tick of a small value is short", () => {
  assert.deepEqual(
    ticks([0.0000272, 0.005]).map(({ label }) => label),
    ["2.72e-5", "0.00251", "0.00500"],
  );
});

test("the speed of steps, within epochs", () => {
  const step = (number, epoch, seconds, samples) => ({ step: number, epoch, seconds, samples });
  const steps = [step(1, 1, 0.5, 8), step(2, 1, 1, 16), step(3, 1, 1.5, 20), step(4, 2, 0, 8), step(5, 2, 0, 16)];
  steps.push(step(6, 2, 0.5, 24));
  assert.deepEqual(speeds(steps, "samples", 1), [
    [2, 16],
    [3, 8],
    [6, 16],
  ]);
  assert.deepEqual(speeds(steps, "samples", 2), [
    [2, 16],
    [3, 12],
    [6, 32],
  ]);
  assert.deepEqual(speeds(steps, "tokens"), []);
  // A run that was resumed in the middle of an epoch counts its seconds anew.
  const resumed = [step(1, 1, 2, 8), step(2, 1, 4, 16), step(3, 1, 1, 24), step(4, 1, 5, 32)];
  assert.deepEqual(speeds(resumed, "samples"), [
    [2, 4],
    [4, 2],
  ]);
});

test("a scale covers all points, also when they are equal", () => {
  assert.deepEqual(
    ranges([
      [3, 2],
      [8, 1],
    ]),
    { x: [0, 8], y: [1, 2] },
  );
  assert.deepEqual(ranges([[0, 2]]), { x: [0, 1], y: [1.5, 2.5] });
  table(scaleTo([0, 10], [100, 0]), [
    [0, 100],
    [5, 50],
    [10, 0],
  ]);
});

test("the labels of ticks differ", () => {
  const labels = (range) => ticks(range).map(({ label }) => label);
  table(labels, [
    [
      [0, 1],
      ["0.00", "0.500", "1.00"],
    ],
    [
      [0.90762, 0.90814],
      ["0.9076", "0.9079", "0.9081"],
    ],
  ]);
});

test("a patch is found although somebody has typed before or behind it", () => {
  const patch = { start: 4, old: "old", before: "one ", after: " end", length: 11 };
  const locate = (text) => locatePatch(text, patch);
  table(locate, [
    ["one old end", 4],
    ["one old end, typed", 4],
    ["typed, one old end", 11],
    ["one new end", null],
    ["", null],
  ]);
  assert.equal(withUnixLineBreaks("a\r\nb\rc\n"), "a\nb\nc\n");
});

test("equal shapes are one", () => {
  assert.equal(formatShapes([[1, 2], [3], [3], [3], [4], [4]]), "[1, 2] 3 × [3] [4] [4]");
  assert.equal(formatShapes([]), "");
});

test("runs are sorted by a column, and those without a value come last", () => {
  const rows = [
    { key: "a", best: null, seconds: 20 },
    { key: "b", best: { name: "accuracy", value: 0.5 }, seconds: 3 },
    { key: "c", best: { name: "accuracy", value: 0.9 }, seconds: null },
  ];
  const order = (column, isDown) =>
    sortRows(rows, { column, isDown })
      .map(({ key }) => key)
      .join("");
  assert.deepEqual([order("best", true), order("best", false)], ["cba", "bca"]);
  assert.deepEqual([order("seconds", true), order("key", false)], ["abc", "abc"]);
});

test("a comparison names the options that differ, and those that only some runs have", () => {
  const runs = [{ options: { epochs: 1, seed: 3, plan: "head" } }, { options: { epochs: 2, seed: 3 } }];
  assert.deepEqual(differences(runs), [
    ["epochs", [1, 2]],
    ["plan", ["head", undefined]],
  ]);
});
