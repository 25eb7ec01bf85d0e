// A block or parameter of another file, copied into a text: where it is, and the edit that does it.
import { entryOf, parseTree, valueAt } from "./yaml_tree.js";

const SECTIONS = ["blocks", "params"];
const lineStart = (text, offset) => text.lastIndexOf("\n", offset - 1) + 1;
const lineEnd = (text, offset) => (text.indexOf("\n", offset) < 0 ? text.length : text.indexOf("\n", offset));
const columnOf = (text, offset) => offset - lineStart(text, offset);
const endOf = ({ to, value }) => value?.to ?? to;
const fileName = (path) =>
  path
    .split("/")
    .at(-1)
    .replace(/\.ya?ml$/, "");

// What is declared in the line of an offset: {section, name}; or null.
export function declarationAt(text, offset) {
  const tree = parseTree(text);
  for (const section of SECTIONS)
    for (const entry of valueAt(tree, section)?.entries ?? [])
      if (lineStart(text, entry.from) <= offset && offset <= lineEnd(text, endOf(entry)))
        return { section, name: entry.key };
  return null;
}

// Whether a text may have it: it does not have it, and does not take it from a file of which it takes blocks.
export function canCopy(text, file, { section, name }) {
  const tree = parseTree(text);
  const used = (valueAt(tree, "use")?.items ?? []).map((item) => fileName(item.text ?? ""));
  const isBraced = text[valueAt(tree, section)?.from] === "{";
  return !entryOf(valueAt(tree, section), name) && !used.includes(fileName(file)) && !isBraced;
}

// The edit of a text that puts it there, at the end of its section: {from, insert}.
export function copyInto(text, source, { section, name }) {
  const lines = declared(source, section, name);
  const tree = parseTree(text);
  const entry = entryOf(tree, section);
  const last = entry?.value?.kind === "map" ? entry.value.entries.at(-1) : null;
  const indent = " ".repeat(last ? columnOf(text, entry.value.entries[0].from) : 2);
  const body = lines.map((line) => (line ? `${indent}${line}\n` : "\n")).join("");
  const from = entry ? lineEnd(text, last ? endOf(last) : entry.to) : text.length;
  const isNewLine = from === 0 || (from === text.length && text.endsWith("\n"));
  const head = entry ? "" : `${from ? "\n" : ""}${section}:\n`;
  const insert = `${isNewLine ? "" : "\n"}${head}${body}`;
  return { from, insert: text[from] === "\n" ? insert.slice(0, -1) : insert };
}

// The lines of a declaration, without their indentation.
function declared(source, section, name) {
  const entry = entryOf(valueAt(parseTree(source), section), name);
  const column = columnOf(source, entry.from);
  const isFirst = !source.slice(lineStart(source, entry.from), entry.from).trim();
  const end = isFirst ? lineEnd(source, endOf(entry)) : endOf(entry);
  const [first, ...rest] = source.slice(entry.from, end).trimEnd().split("\n");
  const margin = " ".repeat(isFirst ? column : 0);
  return [first, ...rest.map((line) => (line.startsWith(margin) ? line.slice(margin.length) : line.trimStart()))];
}
