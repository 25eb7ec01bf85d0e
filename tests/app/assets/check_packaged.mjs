// Every key of a layer and every name in an expression of some specs must be among what is offered at its place.
// node check_packaged.mjs LANGUAGE SPECS: files of JSON; prints what is missing.
import { readFileSync } from "node:fs";
import process from "node:process";
import { complete } from "../../../app/archspec_app/assets/completions.js";
import { keysAllowed, schemaAt } from "../../../app/archspec_app/assets/spec_scope.js";
import { parseTree } from "../../../app/archspec_app/assets/yaml_tree.js";

const [language, specs] = process.argv.slice(2).map((file) => JSON.parse(readFileSync(file, "utf8")));
const missing = [];
let count = 0;

function check(name, text, from, to, inherited, what) {
  count += 1;
  const word = text.slice(from, to);
  const found = complete(text.slice(0, from) + text.slice(to), from, { language, inherited });
  if (!found?.options.some(({ label }) => label === word || label === `${word}=`))
    missing.push(`${name}: ${what} ${word} at ${text.slice(Math.max(0, from - 40), to + 10)}`);
}

function walk(name, text, inherited, node, path) {
  if (node?.kind === "list") node.items.forEach((item, i) => walk(name, text, inherited, item, [...path, i]));
  if (node?.kind !== "map") return;
  const schema = schemaAt(language, path);
  const isClosed = !schema.schemas.some(({ additionalProperties }) => typeof additionalProperties === "object");
  for (const { key, from, to, value } of node.entries) {
    const isWord = /^\w+$/.test(text.slice(from, to));
    if (isWord && isClosed && keysAllowed(schema).size) check(name, text, from, to, inherited, "key");
    const isStep = schema.names.has("Step") && key !== "for" && key !== "do";
    if (value?.kind === "scalar" && /^[a-z]/.test(value.text) && isStep) {
      const call = /^([A-Za-z_]\w*)\(/.exec(text.slice(value.from, value.to));
      if (call) check(name, text, value.from, value.from + call[1].length, inherited, "call");
    }
    if (key === "type" && schema.names.has("Module") && /^\w+$/.test(value?.text))
      check(name, text, value.from, value.to, inherited, "type");
    walk(name, text, inherited, value, [...path, key]);
  }
}
for (const [name, { text, inherited }] of Object.entries(specs)) walk(name, text, inherited, parseTree(text), []);
console.log(JSON.stringify({ count, missing: missing.slice(0, 20) }));
