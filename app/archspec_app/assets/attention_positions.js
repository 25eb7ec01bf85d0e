// Attention weights as numbers, and the names of their rows and columns.

const MAX_LETTERS = 14;

// The mean of several heads, [queries][keys].
export function meanOfHeads(heads) {
  return heads[0].map((row, i) => row.map((_, j) => heads.reduce((sum, head) => sum + head[i][j], 0) / heads.length));
}

// The names of positions: those of tokens, numbers where there are none.
export function positionNames(tokens, count) {
  const shorten = (name) => (name.length > MAX_LETTERS ? `${name.slice(0, MAX_LETTERS - 1)}…` : name);
  return Array.from({ length: count }, (_, i) => (tokens.length >= count ? shorten(tokens[i]) : String(i + 1)));
}
