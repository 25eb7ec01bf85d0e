// Places of a text: the server counts lines and characters from 1, an editor code units from 0.

// How many code units the first characters of a line have.
const unitsOf = (line, characters) => Array.from(line).slice(0, characters).join("").length;

const lineOf = (doc, line) => doc.line(Math.max(1, Math.min(line, doc.lines)));

export function offsetOf(doc, line, column = 1) {
  const { from, text } = lineOf(doc, line);
  return from + unitsOf(text, column - 1);
}

// A stretch of one line; of nothing, the character beside it, so that it can be underlined.
export function rangeOf(doc, line, column, endColumn) {
  const { from: start, to: end } = lineOf(doc, line);
  const from = offsetOf(doc, line, column);
  const to = Math.max(from, offsetOf(doc, line, endColumn ?? column));
  if (to > from) return { from, to };
  return from < end ? { from, to: from + 1 } : { from: Math.max(start, from - 1), to: from };
}

// The smallest change that makes a text another, or null.
export function changedPart(old, text) {
  if (old === text) return null;
  const shortest = Math.min(old.length, text.length);
  let head = 0;
  while (head < shortest && old[head] === text[head]) head += 1;
  let tail = 0;
  while (tail < shortest - head && old.at(-1 - tail) === text.at(-1 - tail)) tail += 1;
  return { from: head, to: old.length - tail, insert: text.slice(head, text.length - tail) };
}
