import assert from "node:assert/strict";
import { test } from "node:test";
import { asCsv, asJson, predictionRows } from "../../../app/archspec_app/assets/prediction_file.js";

test("a row for each input, with the answers of one model or two", () => {
  const one = [{ label: 'a "b", c', probability: 0.25 }, { error: "no text" }];
  const inputs = [{ text: "x" }, { text: "=1+1\n" }, { text: "late" }];
  const rows = predictionRows(inputs, ["runs/a"], [one]);
  assert.deepEqual(rows[1], { row: 2, input: "=1+1\n", label: null, probability: null, error: "no text" });
  assert.equal(
    asCsv(rows),
    'row,input,label,probability,error\r\n1,x,"a ""b"", c",0.25,\r\n2,"=1+1\n",,,no text\r\n3,late,,,\r\n',
  );
  const pairs = predictionRows([{ text: "x", second: "y" }, { text: "z" }], ["a", "b"], [one, one]);
  const names = "row input second label_a probability_a error_a label_b probability_b error_b";
  assert.deepEqual(Object.keys(pairs[0]), names.split(" "));
  assert.equal(pairs[1].second, "");
  assert.deepEqual(JSON.parse(asJson(["a", "b"], pairs)), { models: ["a", "b"], rows: pairs });
  assert.equal(asCsv([]), "\r\n");
});
