// A text of YAML as a tree with offsets, also while somebody is typing: what is unfinished ends where the indentation
// says so. It is as exact as completion needs; what counts is what the server reads.

// A key at the beginning of a line, with its colon.
const KEY = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:[^\s#&*!|>'"%@`{}[\],?-]|-(?=\S))(?:(?!\s#).)*?)\s*:(?=\s|$)/;
const MAX_DEPTH = 64;

const scalar = (text, from, to) => ({ kind: "scalar", text, from, to });
const mapping = (from) => ({ kind: "map", entries: [], from, to: from });
const sequence = (from) => ({ kind: "list", items: [], from, to: from });

function unquoted(text) {
  if (/^".*"$/s.test(text)) return text.slice(1, -1).replace(/\\(["\\])/g, "$1");
  return /^'.*'$/s.test(text) ? text.slice(1, -1).replaceAll("''", "'") : text;
}
// Up to the comment, if there is one.
const withoutComment = (text) => text.replace(/(^|\s)#.*$/, "").trimEnd();

function linesOf(text) {
  const lines = [];
  let from = 0;
  for (const line of text.split("\n")) {
    const indent = line.length - line.trimStart().length;
    if (withoutComment(line).trim()) lines.push({ start: from + indent, end: from + line.length, indent });
    from += line.length + 1;
  }
  return lines;
}

// ------------------------------------------------------------------------------- inside { } and [ ]

// `limit` is where the lines end that belong to it.
function parseFlow(text, at, limit, depth = 0) {
  const skip = (from) => {
    let i = from;
    for (;;) {
      while (i < limit && /\s/.test(text[i])) i += 1;
      if (text[i] !== "#" || i >= limit) return i;
      while (i < limit && text[i] !== "\n") i += 1;
    }
  };
  const token = (from) => {
    const quote = text[from];
    let i = from;
    if (quote === '"' || quote === "'") {
      i += 1;
      while (i < limit && text[i] !== quote) i += quote === '"' && text[i] === "\\" ? 2 : 1;
      return Math.min(i + 1, limit);
    }
    while (i < limit && !/[,[\]{}\n]/.test(text[i]) && !(text[i] === ":" && /[\s,[\]{}]|^$/.test(text[i + 1] ?? "")))
      i += 1;
    return i;
  };
  const value = (from) => {
    if (/[[{]/.test(text[from] ?? "") && from < limit && depth < MAX_DEPTH)
      return parseFlow(text, from, limit, depth + 1);
    const end = token(from);
    const raw = text.slice(from, end).trimEnd();
    return scalar(unquoted(raw), from, from + raw.length);
  };
  const isMap = text[at] === "{";
  const node = isMap ? mapping(at) : sequence(at);
  let i = skip(at + 1);
  while (i < limit && !/[\]}]/.test(text[i])) {
    const before = i;
    const first = value(i);
    i = skip(first.to);
    if (text[i] === ":" && i < limit && first.kind === "scalar") {
      const start = skip(i + 1);
      const isEmpty = start >= limit || /[,\]}]/.test(text[start]);
      const inner = isEmpty ? scalar("", Math.min(i + 1, limit), Math.min(i + 1, limit)) : value(start);
      const entry = { key: first.text, from: first.from, to: first.to, value: inner };
      if (isMap) node.entries.push(entry);
      else node.items.push({ kind: "map", entries: [entry], from: first.from, to: inner.to });
      i = skip(Math.max(inner.to, i + 1));
    } else if (isMap && first.kind === "scalar" && first.text) {
      node.entries.push({ key: first.text, from: first.from, to: first.to, value: null });
    } else if (!isMap && first.to > first.from) node.items.push(first);
    if (text[i] === ",") i = skip(i + 1);
    else if (i === before) i = skip(i + 1); // what cannot stand here
  }
  node.to = Math.min(i + 1, limit);
  return node;
}

// -------------------------------------------------------------------------------- lines and indents

function parser(text) {
  const lines = linesOf(text);
  let at = 0;
  const sourceOf = (line) => text.slice(line.start, line.end);

  // Where the lines end that are indented by more than this.
  function limitOf(indent) {
    let next = at + 1;
    while (next < lines.length && (lines[next].indent > indent || /^[\]}]/.test(sourceOf(lines[next])))) next += 1;
    return next < lines.length ? lines[next].start - lines[next].indent : text.length;
  }
  function pass(offset) {
    while (at < lines.length && lines[at].start < offset) at += 1;
  }

  // A value that begins in the present line; the lines that belong to it are indented by more than `indent`.
  function inlineValue(from, indent) {
    const line = lines[at];
    const first = text[from];
    if (first === "{" || first === "[") {
      const node = parseFlow(text, from, limitOf(indent));
      at += 1;
      pass(node.to);
      return node;
    }
    const limit = limitOf(indent);
    let raw = text.slice(from, line.end);
    if (/^[|>]/.test(raw)) raw = text.slice(from, limit).trimEnd();
    else if (/^["']/.test(raw)) raw = /^("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')/s.exec(text.slice(from, limit))?.[0] ?? raw;
    else raw = withoutComment(raw);
    at += 1;
    pass(limit);
    return scalar(unquoted(raw), from, from + raw.length);
  }

  function list(indent, depth) {
    const node = sequence(lines[at].start);
    while (at < lines.length && lines[at].indent === indent && /^-(\s|$)/.test(sourceOf(lines[at]))) {
      const line = lines[at];
      const rest = sourceOf(line).slice(1);
      const inner = rest.length - rest.trimStart().length + 1;
      if (withoutComment(rest).trim()) {
        lines[at] = { ...line, start: line.start + inner, indent: indent + inner };
        node.items.push(block(indent + 1, depth + 1));
      } else {
        at += 1;
        const next = at < lines.length && lines[at].indent > indent ? block(indent + 1, depth + 1) : null;
        node.items.push(next ?? scalar("", line.start + 1, line.start + 1));
      }
      node.to = node.items.at(-1).to;
    }
    return node;
  }

  function map(indent, depth) {
    const node = mapping(lines[at].start);
    while (at < lines.length && lines[at].indent === indent) {
      const line = lines[at];
      const source = sourceOf(line);
      const found = KEY.exec(source);
      if (!found) {
        if (/^-(\s|$)/.test(source)) break;
        const raw = withoutComment(source); // a key that is being typed
        node.entries.push({ key: unquoted(raw), from: line.start, to: line.start + raw.length, value: null });
        at += 1;
        while (at < lines.length && lines[at].indent > indent) at += 1;
        node.to = line.end;
        continue;
      }
      const raw = found[0].slice(0, -1).trimEnd();
      const entry = { key: unquoted(raw), from: line.start, to: line.start + raw.length, value: null };
      const rest = source.slice(found[0].length);
      const valueAt = line.start + found[0].length + rest.length - rest.trimStart().length;
      if (withoutComment(rest).trim()) entry.value = inlineValue(valueAt, indent);
      else {
        at += 1;
        const next = lines[at];
        const isList = next?.indent === indent && /^-(\s|$)/.test(sourceOf(next));
        if (next && (next.indent > indent || isList)) entry.value = block(isList ? indent : indent + 1, depth + 1);
        else entry.value = scalar("", line.start + found[0].length, line.start + found[0].length);
      }
      node.entries.push(entry);
      node.to = entry.value.to;
      while (at < lines.length && lines[at].indent > indent) at += 1; // lines that belong to nothing
    }
    return node;
  }

  function block(least, depth) {
    const line = lines[at];
    if (!line || line.indent < least || depth > MAX_DEPTH) {
      if (line) at += 1;
      return scalar("", line?.start ?? text.length, line?.start ?? text.length);
    }
    const source = sourceOf(line);
    if (/^-(\s|$)/.test(source)) return list(line.indent, depth);
    if (KEY.test(source)) return map(line.indent, depth);
    const next = lines[at + 1];
    const goesOn = next && next.indent === line.indent && KEY.test(sourceOf(next));
    return goesOn ? map(line.indent, depth) : inlineValue(line.start, least - 1);
  }

  return function document() {
    const root = mapping(0);
    while (at < lines.length) {
      if (/^(---|\.\.\.)/.test(sourceOf(lines[at]))) {
        at += 1;
        continue;
      }
      const before = at;
      const { kind, text: word, from, to, entries } = block(0, 0);
      if (kind === "map") root.entries.push(...entries);
      else if (kind === "scalar" && word) root.entries.push({ key: word, from, to, value: null });
      if (at === before) at += 1;
    }
    root.to = text.length;
    return root;
  };
}

export const parseTree = (text) => parser(text)();

// ------------------------------------------------------------------------------------ asking a tree

export const entryOf = (node, key) => (node?.kind === "map" ? node.entries.find((entry) => entry.key === key) : null);
export const valueAt = (node, ...path) =>
  path.reduce((found, key) => (typeof key === "number" ? found?.items?.[key] : entryOf(found, key)?.value), node);
export const keysOf = (node) => (node?.kind === "map" ? node.entries.map(({ key }) => key) : []);

// The way to what stands at an offset: `path` leads to the map or list that has it; then either the key or, with
// `value`, a scalar, which is that of `key` or an item.
export function placeAt(root, offset) {
  const path = [];
  let container = root;
  for (;;) {
    if (container.kind === "list") {
      const index = container.items.findIndex(({ from, to }) => from <= offset && offset <= to);
      const item = container.items[index];
      if (!item) return { path, container, key: null, entry: null, value: null };
      if (item.kind === "scalar") return { path, container, key: index, entry: null, value: item };
      path.push(index);
      container = item;
      continue;
    }
    const entry = container.entries.findLast(({ from }) => from <= offset);
    if (!entry) return { path, container, key: null, entry: null, value: null };
    if (offset <= entry.to || !entry.value) return { path, container, key: entry.key, entry, value: null };
    const { value } = entry;
    if (value.kind === "scalar") return { path, container, key: entry.key, entry, value };
    if (offset < value.from || offset > value.to) return { path, container, key: null, entry: null, value: null };
    path.push(entry.key);
    container = value;
  }
}
