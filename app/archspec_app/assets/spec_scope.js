// What a place in a spec means: which part of the JSON Schema holds there, and which names are known.
//
// `language` is what the server knows of the language: {schema, layers, functions, numeric, constants}. `inherited` is
// what the last good version of the spec has beside its own text: {params, blocks}, each with its place.
import { keysOf, valueAt } from "./yaml_tree.js";

const POINTER = "#/definitions/";
export const CONTAINERS = ["Sequential", "ModuleList", "ModuleDict"];
const LAYER_WORDS = ["block", "layer"];

// All schemas that say something of a value, with the names of the definitions they are from.
function expanded(language, schema, found = { schemas: [], names: new Set() }) {
  if (!schema || typeof schema !== "object") return found;
  if (schema.$ref) {
    const name = schema.$ref.slice(POINTER.length);
    if (found.names.has(name)) return found;
    found.names.add(name);
    return expanded(language, language.schema[name], found);
  }
  found.schemas.push(schema);
  const parts = [...(schema.allOf ?? []), ...(schema.anyOf ?? []), ...(schema.oneOf ?? []), schema.then, schema.else];
  for (const part of parts) expanded(language, part, found);
  return found;
}

// What holds at the end of a path: {schemas, names}.
export function schemaAt(language, path) {
  let found = expanded(language, { $ref: `${POINTER}Architecture` });
  for (const key of path) {
    const next = { schemas: [], names: new Set() };
    for (const schema of found.schemas) {
      const inner = typeof key === "number" ? schema.items : (schema.properties?.[key] ?? schema.additionalProperties);
      expanded(language, inner, next);
    }
    found = next;
  }
  return found;
}

// The keys that a mapping may have: name → its schema; those that are forbidden there are left out.
export function keysAllowed({ schemas }) {
  const keys = new Map();
  const forbidden = new Set();
  for (const { properties } of schemas)
    for (const [name, schema] of Object.entries(properties ?? {})) {
      if (schema === false) forbidden.add(name);
      else keys.set(name, schema);
    }
  for (const name of forbidden) keys.delete(name);
  return keys;
}

export const typeOf = (module) => valueAt(module, "type")?.text ?? "";
export const layerOf = (language, type) => (Object.hasOwn(language.layers, type) ? language.layers[type] : null);

// The type of the module at a path: as a parent has it where the text only changes arguments, and of a parameter its
// value; of an expression the last one that it can give.
export function moduleType(tree, inherited, path, module) {
  const parent =
    path.length === 4 && path[2] === "modules" ? inherited?.blocks?.[path[1]]?.modules?.[path[3]]?.[0] : "";
  const type = typeOf(module) || parent || "";
  const name = /^\$([A-Za-z_]\w*)$/.exec(type)?.[1];
  if (!name) return type.startsWith("$") ? (type.match(/(?<=')\w+(?=')/g)?.at(-1) ?? "") : type;
  const declared = valueAt(tree, "params", name);
  const own = declared?.kind === "scalar" ? declared : valueAt(declared, "default");
  return own?.text || (inherited?.params?.[name]?.value ?? "");
}

// ------------------------------------------------------------------------------------------- names

const short = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);

// A value as one line.
export function written(node) {
  if (!node) return "";
  if (node.kind === "scalar") return short(node.text);
  if (node.kind === "list") return short(`[${node.items.map(written).join(", ")}]`);
  return short(`{${node.entries.map(({ key, value }) => (value ? `${key}: ${written(value)}` : key)).join(", ")}}`);
}

const named = (kind, entries, more = () => ({})) =>
  entries.map((entry) => ({ name: entry.key, kind, at: entry.from, detail: written(entry.value), ...more(entry) }));
const entriesOf = (node) => (node?.kind === "map" ? node.entries : []);
const fromParent = (kind, names, more) =>
  Object.entries(names ?? {}).map(([name, about]) => ({ name, kind, ...more(about) }));

// Each name once: what the text has stands before what a parent has.
function unique(names) {
  const byName = new Map();
  for (const one of names) byName.set(one.name, { ...one, ...byName.get(one.name) });
  return [...byName.values()].filter(({ name }) => name);
}

export function blockNames(tree, inherited) {
  const placed = ({ file, line, params }) => ({ detail: Object.keys(params ?? {}).join(", "), place: { file, line } });
  return unique([
    ...named("block", entriesOf(valueAt(tree, "blocks")), ({ value }) => ({
      detail: keysOf(valueAt(value, "params")).join(", "),
    })),
    ...fromParent("block", inherited?.blocks, placed),
  ]);
}

export function paramNames(tree, inherited) {
  const placed = ({ file, line, ...about }) => ({ about, detail: about.type, place: { file, line } });
  return unique([
    ...named("parameter", entriesOf(valueAt(tree, "params"))),
    ...fromParent("parameter", inherited?.params, placed),
    ...named("local value", entriesOf(valueAt(tree, "let"))),
    ...fromParent("local value", inherited?.let, (value) => ({ detail: value })),
  ]);
}

// Parameters that name a block or a layer, for `type: $name`.
export const typeParams = (tree, inherited) =>
  paramNames(tree, inherited).filter(({ name, about, detail }) => {
    const declared = valueAt(tree, "params", name, "type")?.text ?? about?.type ?? detail;
    return LAYER_WORDS.includes(declared);
  });

// Those of a block: `block` is its name.
export function blockScope(tree, inherited, block) {
  const own = valueAt(tree, "blocks", block);
  const parent = inherited?.blocks?.[block];
  const detailed = ([detail, file, line]) => ({ detail, place: { file, line } });
  const part = (kind, key) => [
    ...named(kind, entriesOf(valueAt(own, key))),
    ...fromParent(kind, parent?.[key], detailed),
  ];
  return {
    params: unique([...part("parameter", "params"), ...part("local value", "let")]),
    inputs: unique(part("input", "inputs")),
    children: unique([
      ...named("child", entriesOf(valueAt(own, "modules")), ({ value }) => ({
        detail: typeOf(value) || written(value),
      })),
      ...fromParent("child", parent?.modules, detailed),
    ]),
    tensors: unique([...part("tensor", "parameters"), ...part("tensor", "buffers")]),
    methods: unique(part("method", "methods")),
  };
}

// ------------------------------------------------------------------------------ what is behind a dot

const OF_VALUES = ["shape", "ndim", "dtype", "device"];
const LIMITS = ["min", "max", "eps", "tiny"]; // of finfo(…)
const member = (name, kind, detail = "") => ({ name, kind, detail });

// A module as far as the text says what it is: {type, items}, of which `items` are the modules of a container.
function moduleOf(tree, inherited, path, node) {
  const items = valueAt(node, "items");
  const isNamed = items?.kind === "map";
  const listed = isNamed ? items.entries.map(({ value }) => value) : (items?.items ?? []);
  const flat = listed.flatMap((item) => (typeOf(item) ? [item] : (valueAt(item, "items")?.items ?? []))); // of groups
  return {
    type: moduleType(tree, inherited, path, node),
    names: isNamed ? keysOf(items) : null,
    items: flat.map((item) => moduleOf(tree, inherited, [], item)),
  };
}
function childOf(tree, inherited, block, name) {
  const path = ["blocks", block, "modules", name];
  const known = blockScope(tree, inherited, block).children.some((child) => child.name === name);
  return known ? moduleOf(tree, inherited, path, valueAt(tree, ...path)) : null;
}
const isBlock = (tree, inherited, type) => blockNames(tree, inherited).some(({ name }) => name === type);

// One step down: a child of a block by its name; an item of a container, of which any number is like the first.
function moduleBelow(tree, inherited, { type, items, names }, name) {
  if (items.length) return items[Math.max(0, names?.indexOf(name) ?? 0)];
  return isBlock(tree, inherited, type) ? childOf(tree, inherited, type, name) : null;
}

// The modules and tensors that a module has by name.
function membersOf(language, tree, inherited, { type, names }) {
  if (names) return names.map((name) => member(name, "child"));
  if (CONTAINERS.includes(type)) return [];
  if (!isBlock(tree, inherited, type))
    return (layerOf(language, type)?.members ?? []).map((name) => member(name, "tensor"));
  const { children, tensors, methods } = blockScope(tree, inherited, type);
  return [...children, ...tensors, ...methods];
}

// What can stand behind "encoder.layer[0]." in a step; null if nothing is known of it.
export function membersBehind(language, tree, inherited, { path, offset, owner }) {
  if (/\bfinfo\([^()]*(?:\([^()]*\)[^()]*)*\)$/.test(owner)) return LIMITS.map((name) => member(name, "attribute"));
  const chain = /([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*|\[[^[\]]*\])*)$/.exec(owner);
  if (!chain || /[\w.)\]]$/.test(owner.slice(0, chain.index))) return null;
  const [, first, rest] = chain;
  const loop = stepNames(tree, path, offset).find(({ name, kind }) => name === first && kind === "loop variable");
  const start = loop ? (/\bin\s+(?:enumerate\()?([A-Za-z_]\w*)/.exec(loop.detail)?.[1] ?? first) : first;
  let module = path[0] === "blocks" ? childOf(tree, inherited, path[1], start) : null;
  if (loop && module) module = moduleBelow(tree, inherited, module, "0");
  if (!module) {
    const isKnown = expressionNames(tree, inherited, { path, offset, inStep: true }).some(({ name }) => name === first);
    return isKnown ? OF_VALUES.map((name) => member(name, "attribute")) : null;
  }
  for (const [, name] of rest.matchAll(/\.([A-Za-z_]\w*)|\[[^[\]]*\]/g)) {
    module = moduleBelow(tree, inherited, module, name ?? "0");
    if (!module) return OF_VALUES.map((one) => member(one, "attribute"));
  }
  return membersOf(language, tree, inherited, module);
}

// ----------------------------------------------------------------------------- paths and sizes by name

// What can come next in a pattern: names below the modules that `steps` lead to from the root.
export function pathsBelow(language, tree, inherited, steps) {
  const root = valueAt(tree, "model")?.text || inherited?.model || "";
  let module = root ? { type: root, items: [], names: null } : null;
  for (const step of steps) module = module && moduleBelow(tree, inherited, module, step);
  return module ? membersOf(language, tree, inherited, module).filter(({ kind }) => kind !== "method") : [];
}

// The names of sizes: those with a value in `dims`, and those in shapes.
export function sizeNames(tree, inherited) {
  const names = new Set([...keysOf(valueAt(tree, "dims")), ...(inherited?.dims ?? [])]);
  const walk = (node) => {
    if (node?.kind === "list")
      for (const { text } of node.items) if (/^[A-Za-z_]\w*$/.test(text ?? "")) names.add(text);
    for (const { value } of entriesOf(node)) walk(value);
  };
  for (const { value } of entriesOf(valueAt(tree, "blocks")))
    for (const part of ["inputs", "outputs"]) walk(valueAt(value, part));
  return [...names];
}

// The names of rounds: `index` and `each` of the items around a place.
export function roundNames(tree, path) {
  const names = [];
  for (let depth = 1; depth <= path.length; depth += 1) {
    const node = valueAt(tree, ...path.slice(0, depth));
    const each = valueAt(node, "each");
    const words = [valueAt(node, "index"), ...(each?.kind === "list" ? each.items : [each])];
    for (const word of words)
      if (word?.kind === "scalar")
        for (const name of word.text.split(/\s*,\s*/)) names.push({ name, kind: "counter", at: word.from, detail: "" });
  }
  return unique(names);
}

// Targets of the steps before an offset, and variables of the loops around it.
export function stepNames(tree, path, offset) {
  const start = path.findIndex((key) => typeof key === "number");
  const names = [];
  const walk = (steps) => {
    for (const step of steps?.items ?? []) {
      if (step.kind !== "map" || step.from > offset) continue;
      const isAround = step.from <= offset && offset <= step.to;
      for (const { key, from, to, value } of step.entries) {
        if (key === "for" && isAround) {
          const words = (value?.text ?? "").split(/\s+in\s/)[0].split(/\s*,\s*/);
          for (const name of words) names.push({ name, kind: "loop variable", at: value.from, detail: value.text });
        } else if (key === "do") walk(value);
        else if (!["for", "return"].includes(key) && !(from <= offset && offset <= (value?.to ?? to)))
          for (const name of key.split(/\s*,\s*/)) names.push({ name, kind: "step", at: from, detail: written(value) });
      }
    }
  };
  if (start > 0) walk(valueAt(tree, ...path.slice(0, start)));
  return unique(names.toReversed());
}

// Everything that an expression at a place may name, but for functions.
export function expressionNames(tree, inherited, { path, offset, inStep }) {
  const params = paramNames(tree, inherited);
  const block = path[0] === "blocks" && path.length > 1 ? blockScope(tree, inherited, path[1]) : null;
  const own = block ? [...block.params] : [];
  if (!inStep) return unique([...roundNames(tree, path), ...own, ...params]);
  const method = path[2] === "methods" ? valueAt(tree, ...path.slice(0, 4), "inputs") : null;
  return unique([
    ...stepNames(tree, path, offset),
    ...named("input", entriesOf(method)),
    ...(block ? [...block.inputs, ...block.children, ...block.tensors, ...block.methods] : []),
    ...own,
    ...params,
  ]);
}

// What a call's keywords are: of a function its arguments, of a child the inputs of its block.
export function keywordsOf(language, tree, inherited, { path, callee }) {
  const called = Object.hasOwn(language.functions, callee) ? language.functions[callee].arguments : null;
  if (called) return called;
  const block = path[0] === "blocks" ? blockScope(tree, inherited, path[1]) : null;
  const child = block?.children.find(({ name }) => name === callee);
  return child ? blockScope(tree, inherited, child.detail).inputs.map(({ name }) => name) : [];
}
