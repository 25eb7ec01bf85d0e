// Where the points of a chart are drawn.

// At most about 2 * size points: the lowest and the highest of each section, so that peaks stay.
export function thinOut(points, size = 500) {
  if (points.length <= 2 * size) return points;
  const length = Math.ceil(points.length / size);
  const kept = [];
  for (let i = 0; i < points.length; i += length) {
    const section = points.slice(i, i + length);
    const low = section.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = section.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low[0] <= high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

// Ranges of x, which begins at 0, and y, which is never empty.
export function ranges(points) {
  const x = [0, Math.max(...points.map(([value]) => value), 1)];
  const values = points.map(([, value]) => value);
  const y = [Math.min(...values), Math.max(...values)];
  return { x, y: y[0] === y[1] ? [y[0] - 0.5, y[1] + 0.5] : y };
}

export const scaleTo =
  ([from, to], [start, end]) =>
  (value) =>
    start + ((end - start) * (value - from)) / (to - from);

// The bounds of a range and its middle, with as few digits, from three on, as tell them apart.
export function ticks([from, to]) {
  const values = [from, (from + to) / 2, to];
  for (let digits = 3; digits < 12; digits += 1) {
    const labels = values.map((value) => value.toPrecision(digits));
    if (new Set(labels).size === values.length) return values.map((value, i) => ({ value, label: labels[i] }));
  }
  return values.map((value) => ({ value, label: String(value) }));
}
