// What the word at an offset of a spec means: what is said of it, and where it is declared.
import { isInComment } from "./completions.js";
import {
  CONTAINERS,
  blockNames,
  blockScope,
  expressionNames,
  keysAllowed,
  layerOf,
  moduleType,
  paramNames,
  schemaAt,
} from "./spec_scope.js";
import { parseTree, placeAt } from "./yaml_tree.js";

// The word at an offset, with its stretch: {from, to, word}.
function wordAt(text, offset) {
  const before = /[A-Za-z_]\w*$/.exec(text.slice(0, offset))?.[0] ?? "";
  const after = /^\w*/.exec(text.slice(offset))[0];
  const word = before + after;
  return /^[A-Za-z_]/.test(word) ? { from: offset - before.length, to: offset + after.length, word } : null;
}

// {from, to, title, lines, target}: a target is {at}, an offset, or {file, line}; or null.
export function referenceAt(text, offset, { language, inherited }) {
  if (isInComment(text, offset)) return null;
  const tree = parseTree(text);
  const place = placeAt(tree, offset);
  const about = { tree, place, language, inherited, text, offset };
  if (place.value) return ofValue(about);
  return place.entry && offset <= place.entry.to ? ofKey(about) : null;
}

const targetOf = ({ at, place }) => (at === undefined ? (place?.file ? place : null) : { at });
const withoutEmpty = (...several) => several.filter(Boolean);
const ofLayer = (language, name) => {
  const { signature, help } = language.layers[name];
  return { title: signature, lines: withoutEmpty(help) };
};
const isLayer = (language, name) => Object.hasOwn(language.layers, name);

// -------------------------------------------------------------------------------------------- keys

function ofKey({ tree, place, language, inherited }) {
  const { path, container, entry } = place;
  const stretch = { from: entry.from, to: entry.to, target: null };
  const known = schemaAt(language, path);
  if (known.names.has("Module")) {
    const type = moduleType(tree, inherited, path, container);
    const argument = layerOf(language, type)?.arguments.find(({ name }) => name === entry.key);
    if (argument)
      return { ...stretch, title: `${entry.key}: ${argument.expects}`, lines: withoutEmpty(defaultOf(argument)) };
    const param = blockScope(tree, inherited, type).params.find(({ name }) => name === entry.key);
    if (param)
      return { ...stretch, title: `${entry.key}: ${param.detail}`, lines: [`of ${type}`], target: targetOf(param) };
  }
  if (path.length === 1 && path[0] === "params") return { ...stretch, ...ofParam(tree, inherited, entry.key) };
  if (path.length === 1 && path[0] === "blocks") return { ...stretch, ...ofBlock(tree, inherited, entry.key) };
  const schema = keysAllowed(known).get(entry.key);
  return schema?.description ? { ...stretch, title: entry.key, lines: [schema.description] } : null;
}
const defaultOf = ({ required, default: value }) => (required ? "required" : `default ${value}`);

function ofParam(tree, inherited, name) {
  const { about, detail, ...known } = paramNames(tree, inherited).find((one) => one.name === name) ?? {};
  const bounds = about && [
    about.min !== null ? `at least ${about.min}` : "",
    about.max !== null ? `at most ${about.max}` : "",
  ];
  const said = about && [
    about.value && `value ${about.value}`,
    about.default && about.default !== about.value && `default ${about.default}`,
    ...bounds,
    about.choices.length && `one of ${about.choices.join(", ")}`,
  ];
  return {
    title: about?.type ? `${name}: ${about.type}` : `${name}: ${detail ?? ""}`,
    lines: withoutEmpty(said?.filter(Boolean).join(", "), about?.help, known.kind),
    target: targetOf(known),
  };
}

function ofBlock(tree, inherited, name) {
  const found = blockNames(tree, inherited).find((one) => one.name === name);
  return { title: `${name}(${found.detail})`, lines: ["block"], target: targetOf(found) };
}

// ------------------------------------------------------------------------------------------ values

function ofValue(about) {
  const { tree, place, language, inherited, text, offset } = about;
  const { path, key, value } = place;
  const names = schemaAt(language, path).names;
  if (path.length === 0 && (key === "extends" || key === "use")) return ofFile(value);
  if (path.length === 1 && path[0] === "use") return ofFile(value);
  const inStep = names.has("Step") && typeof key === "string";
  const isExpression = inStep || /^\$(?!\$)/.test(value.text);
  const found = wordAt(text, offset);
  if (!found || found.from < value.from || found.to > value.to + 1) return null;
  const { word } = found;
  const isBlock = () => blockNames(tree, inherited).some(({ name }) => name === word);
  if (!isExpression) {
    const isType = names.has("Module") && key === "type";
    const isName = isType || (path.length === 0 && key === "model") || key === "like" || path.at(-1) === "like";
    if (isName && isBlock()) return { ...found, ...ofBlock(tree, inherited, word) };
    const isMatch = key === "match" || path.at(-1) === "match";
    if ((isType || isMatch) && isLayer(language, word)) return { ...found, target: null, ...ofLayer(language, word) };
    if (isType && CONTAINERS.includes(word))
      return { ...found, target: null, title: `${word}(items)`, lines: ["container"] };
    return null;
  }
  const before = text.slice(value.from, found.from);
  if (before.endsWith(".") || /^\s*=(?!=)/.test(text.slice(found.to))) return null;
  const said = ofName(about, [...path, key], word, inStep);
  return said && { ...found, ...said };
}

function ofFile({ from, to, text }) {
  return { from, to, title: text, lines: ["F12 or Ctrl+click shows the file"], target: { file: text, line: 1 } };
}

function ofName({ tree, language, inherited, offset }, path, word, inStep) {
  const found = expressionNames(tree, inherited, { path, offset, inStep }).find(({ name }) => name === word);
  const isGlobal = found && paramNames(tree, inherited).some((one) => one.name === word && one.at === found.at);
  if (isGlobal) return ofParam(tree, inherited, word);
  if (found) {
    const layerHelp =
      found.kind === "child" && isLayer(language, found.detail) ? ofLayer(language, found.detail) : null;
    const title = `${word}: ${found.detail || found.kind}`;
    return { title, lines: withoutEmpty(found.kind, layerHelp?.title, layerHelp?.lines[0]), target: targetOf(found) };
  }
  const functions = inStep ? language.functions : language.numeric;
  if (Object.hasOwn(functions, word)) {
    const { signature, help } = functions[word];
    return { title: signature, lines: withoutEmpty(help), target: null };
  }
  return null;
}
