// Changes of a text while somebody may be typing in it.

export const withUnixLineBreaks = (text) => text.replace(/\r\n?/g, "\n");

// Where the old part of a patch is now, counted from the text's start or from its end; null if it has changed.
export function locatePatch(text, { start, old, before, after, length }) {
  const context = before + old + after;
  for (const offset of [start, start + text.length - length]) {
    const from = offset - before.length;
    if (from >= 0 && text.startsWith(context, from)) return offset;
  }
  return null;
}
