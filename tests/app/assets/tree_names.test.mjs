import assert from "node:assert/strict";
import { test } from "node:test";
import { namesInTree } from "../../../app/archspec_app/assets/tree_names.js";

test("a module has the name that it has below the one that is there", () => {
  assert.deepEqual(namesInTree(["", "bert", "bert.layer.0", "bert.layer.0.fc", "head.fc"]), [
    { name: "", depth: 0 },
    { name: "bert", depth: 1 },
    { name: "layer.0", depth: 2 },
    { name: "fc", depth: 3 },
    { name: "head.fc", depth: 1 },
  ]);
  assert.deepEqual(namesInTree(["a.b"]), [{ name: "a.b", depth: 0 }]);
});
