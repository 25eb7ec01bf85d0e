// What can be typed at a place of a spec.
import {
  CONTAINERS,
  blockNames,
  expressionNames,
  keysAllowed,
  keywordsOf,
  layerOf,
  membersBehind,
  moduleType,
  pathsBelow,
  schemaAt,
  sizeNames,
  typeOf,
  typeParams,
} from "./spec_scope.js";
import { keysOf, parseTree, placeAt, valueAt } from "./yaml_tree.js";

const MARK = "\uE000"; // stands for the caret, so that there is a word at an empty place, too

const choice = (label, kind, detail = "", more = {}) => ({ label, kind, detail, info: "", ...more });
const choiceOf = ({ name, kind, detail, about }) =>
  choice(name, kind, about?.type || detail, { info: about?.help ?? "" });

// The options at an offset: {from, options}, each {label, kind, detail, info, apply, isFirst}; or null.
export function complete(text, offset, { language, inherited }) {
  const tree = parseTree(text.slice(0, offset) + MARK + text.slice(offset));
  const place = placeAt(tree, offset);
  const about = { tree, place, language, inherited, text, offset };
  if (isInComment(text, offset)) return null;
  if (place.value) return inValue(about);
  if (place.entry) return inKey(about, place.path, place.container, place.entry.from);
  return null;
}

export function isInComment(text, offset) {
  const line = text.slice(text.lastIndexOf("\n", offset - 1) + 1, offset);
  const bare = line.replace(/"(?:[^"\\]|\\.)*"|'[^']*'/g, "");
  return /(^|\s)#/.test(bare);
}

// -------------------------------------------------------------------------------------------- keys

function inKey(about, path, container, from) {
  const { language, text, offset } = about;
  const found = schemaAt(language, path);
  const taken = new Set(keysOf(container).filter((key) => !key.includes(MARK)));
  const end = /^[\w-]*\s*:/.test(text.slice(offset)) ? "" : ": ";
  const isModule = found.names.has("Module");
  const options = [...keysAllowed(found)]
    .filter(([name]) => !isModule || fitsModule(about, container, name))
    .map(([name, schema]) => choice(name, "key", "", { info: schema.description ?? "", apply: name + end }));
  if (isModule) options.unshift(...argumentOptions(about, path, container, end));
  return { from, options: options.filter(({ label }) => !taken.has(label)) };
}

// Of what has a type, the keys that are left: a group of items has none, and only containers have items.
function fitsModule({ language }, module, name) {
  const type = typeOf(module);
  if (!type) return true;
  if (name === "items") return CONTAINERS.includes(type);
  return (
    !Object.hasOwn(language.schema.Group.properties, name) ||
    Object.hasOwn(language.schema.Item.allOf[1].properties, name)
  );
}

function argumentOptions({ language, tree, inherited }, path, module, end) {
  const type = moduleType(tree, inherited, path, module);
  const layer = layerOf(language, type);
  if (layer)
    return layer.arguments.map(({ name, expects, required, default: value }) =>
      choice(name, "argument", required ? "required" : `= ${value}`, {
        info: expects,
        apply: name + end,
        isFirst: required,
      }),
    );
  const declared = blockNames(tree, inherited).find(({ name }) => name === type);
  if (!declared) return [];
  const params = valueAt(tree, "blocks", type, "params");
  const names = new Set([...keysOf(params), ...Object.keys(inherited?.blocks?.[type]?.params ?? {})]);
  return [...names].map((name) => choice(name, "argument", type, { apply: name + end }));
}

// ------------------------------------------------------------------------------------------ values

function inValue(about) {
  const { place, language, text, offset } = about;
  const { path, container, key, value, entry } = place;
  const at = [...path, key];
  const raw = text.slice(value.from, offset);
  const isNextLine = entry && text.slice(entry.to, value.from).includes("\n");
  const schema = schemaAt(language, at);
  const inStep = schemaAt(language, path).names.has("Step") && typeof key === "string";
  if (inStep && key !== "do") return inExpression(about, at, true);
  if (/^["']?\$(?!\$)/.test(raw)) return inExpression(about, at, false);
  if (isNextLine || typeof key === "number") {
    const keys = keysAllowed(schema);
    if (keys.size && !/^["'@]/.test(raw)) {
      const asKeys = inKey(about, at, { kind: "map", entries: [] }, value.from);
      if (isNextLine) return asKeys;
      return { ...asKeys, options: [...asKeys.options, ...valueOptions(about, schema, at)] };
    }
  }
  if (isPattern(at)) return inPattern(about, at, raw);
  const module = schemaAt(language, path).names.has("Module") ? container : null;
  const quote = /^["']/.test(raw) ? 1 : 0;
  const options = module && key === "type" ? typeOptions(about) : valueOptions(about, schema, at, module);
  const known = new Set();
  return {
    from: value.from + quote,
    options: options
      .map((one) => (quote && one.apply ? { ...one, apply: one.apply.replace(/^"(.*)"$/, "$1") } : one))
      .filter(({ label }) => !known.has(label) && known.add(label)),
  };
}

// The end of a path: freeze plans, and what selects modules by paths.
const isPattern = (at) =>
  at[0] === "freeze" ||
  (at[0] === "blocks" && at[2] === "freeze") ||
  (["init", "adapters"].includes(at[0]) && at.slice(-2).includes("match"));

// The next part of a path of modules: behind the last dot.
function inPattern({ tree, language, inherited, offset }, at, raw) {
  const typed = raw.replace(/^["']?!?/, "");
  if (typed.startsWith("@") || (!typed && at.includes("match"))) {
    const quote = /^["']/.test(raw) ? "" : '"';
    const layers = Object.keys(language.layers).map((name) =>
      choice(`@${name}`, "layer", "", { apply: `${quote}@${name}${quote}` }),
    );
    if (typed.startsWith("@")) return { from: offset - typed.length, options: layers };
    return { from: offset, options: [...layers, ...pathsBelow(language, tree, inherited, []).map(choiceOf)] };
  }
  const steps = typed.replaceAll(/\[([^\]]*)\]/g, ".$1").split(".");
  const last = steps.pop();
  if (steps.includes("**")) return null;
  const found = pathsBelow(language, tree, inherited, steps).map(choiceOf);
  return found.length ? { from: offset - last.length, options: found, isPath: true } : null;
}

function typeOptions({ tree, language, inherited }) {
  return [
    ...blockNames(tree, inherited).map(choiceOf),
    ...typeParams(tree, inherited).map((one) => ({ ...choiceOf(one), label: `$${one.name}` })),
    ...CONTAINERS.map((name) => choice(name, "layer", "(items)")),
    ...Object.entries(language.layers).map(([name, { signature, help }]) =>
      choice(name, "layer", signature.slice(name.length), { info: help }),
    ),
  ];
}

function valueOptions(about, { schemas, names }, path, module = null) {
  const { tree, language, inherited } = about;
  const key = path.at(-1);
  if (path.length === 1 && key === "model") return blockNames(tree, inherited).map(choiceOf);
  if (path.length === 1 && key === "adapter")
    return keysOf(valueAt(tree, "adapters")).map((name) => choice(name, "adapter"));
  if (key === "like" || path.at(-2) === "like") return blockNames(tree, inherited).map(choiceOf);
  const isShape = path[0] === "blocks" && ["inputs", "outputs"].includes(path[2]) && typeof key === "number";
  const sizes = isShape ? sizeNames(tree, inherited).filter((name) => !name.includes(MARK)) : [];
  if (isShape) return [...sizes.map((name) => choice(name, "size")), ...paramOptions(about, path)];
  const options = schemas.flatMap(constants);
  if (names.has("Param")) options.push(...(language.schema.Param.properties.type.enum ?? []).flatMap(word));
  const argument =
    module &&
    layerOf(language, moduleType(tree, inherited, path.slice(0, -1), module))?.arguments.find(
      ({ name }) => name === key,
    );
  if (argument) options.unshift(...argument.choices.flatMap(word));
  if (argument?.kinds.includes("bool")) options.push(choice("true", "value"), choice("false", "value"));
  const takesExpression = module || schemas.some(({ pattern }) => pattern?.startsWith("^\\$"));
  if (takesExpression) options.push(...paramOptions(about, path));
  return options;
}
const word = (value) =>
  typeof value === "string" || typeof value === "boolean" ? [choice(String(value), "value")] : [];

function constants({ const: only, enum: several, type, description }) {
  const values = only === undefined ? (several ?? []) : [only];
  const options = values.flatMap(word).map((one) => ({ ...one, info: only === undefined ? "" : (description ?? "") }));
  if ([type].flat().includes("boolean")) options.push(choice("true", "value"), choice("false", "value"));
  return options;
}
const paramOptions = ({ tree, inherited, offset }, path) =>
  expressionNames(tree, inherited, { path, offset, inStep: false }).map((one) => ({
    ...choiceOf(one),
    label: `$${one.name}`,
  }));

// ------------------------------------------------------------------------------------- expressions

// The call around a place: the name before the innermost open parenthesis.
function calleeAt(text) {
  let depth = 0;
  for (let i = text.length - 1; i >= 0; i -= 1) {
    if (text[i] === ")" || text[i] === "]") depth += 1;
    else if (text[i] === "(" || text[i] === "[") {
      if (depth === 0) return text[i] === "(" ? (/([A-Za-z_]\w*)$/.exec(text.slice(0, i))?.[1] ?? "") : "";
      depth -= 1;
    }
  }
  return "";
}

function inExpression({ tree, place, language, inherited, text, offset }, path, inStep) {
  const before = text.slice(place.value.from, offset);
  const typed = /[A-Za-z_]\w*$/.exec(before)?.[0] ?? "";
  const rest = before.slice(0, before.length - typed.length);
  if (isInString(inStep ? before : before.slice(1))) return null;
  if (rest.endsWith(".")) {
    const owner = rest.slice(0, -1);
    const members = inStep && membersBehind(language, tree, inherited, { path, offset, owner });
    return members?.length ? { from: offset - typed.length, options: members.map(choiceOf), isPath: true } : null;
  }
  if (/\w$/.test(rest)) return null;
  const options = expressionNames(tree, inherited, { path, offset, inStep }).map(choiceOf);
  const callee = calleeAt(rest);
  if (callee && /[(,]\s*$/.test(rest)) {
    const words = keywordsOf(language, tree, inherited, { path, callee });
    options.unshift(...words.map((name) => choice(`${name}=`, "argument", callee)));
  }
  const functions = inStep ? language.functions : language.numeric;
  for (const [name, { signature, help }] of Object.entries(functions))
    options.push(choice(name, "function", signature.slice(name.length), { info: help }));
  if (inStep) options.push(...language.constants.map((name) => choice(name, "constant")));
  const known = new Set();
  return { from: offset - typed.length, options: options.filter(({ label }) => !known.has(label) && known.add(label)) };
}
// Whether a text ends inside quotes; those of YAML around all of it do not count.
const isInString = (text) => {
  const inner = text.replace(/^["']/, "");
  return (inner.replace(/"[^"]*"|'[^']*'/g, "").match(/["']/g) ?? []).length > 0;
};
