import assert from "node:assert/strict";
import { test } from "node:test";
import { levelPaths } from "../../../app/archspec_app/assets/tree_levels.js";

test("bars of a level stand side by side, with gaps, below those of the level above", () => {
  assert.deepEqual(levelPaths([[160], [10, -5, 1]]), ["M0 0h159.5v5h-159.5z", "M0 6h9.5v5h-9.5zM15 6h1v5h-1z"]);
  assert.deepEqual(levelPaths([]), []);
});
