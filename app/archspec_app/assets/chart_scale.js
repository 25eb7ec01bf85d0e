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

// Ranges of x, which begins at 0 unless it is given, and y, which is never empty.
export function ranges(points, given = null) {
  const x = given ?? [0, Math.max(...points.map(([value]) => value), 1)];
  const values = points.map(([, value]) => value);
  const y = [Math.min(...values), Math.max(...values)];
  return { x, y: y[0] === y[1] ? [y[0] - 0.5, y[1] + 0.5] : y };
}

// The points in a range of x; without a range, all.
export const inRange = (points, range) => (range ? points.filter(([x]) => range[0] <= x && x <= range[1]) : points);

// Each value with those before it, of which every one weighs less by a factor of `weight`, from 0 to under 1. The first
// values are not drawn towards 0: the weights always add up to 1.
export function smooth(points, weight) {
  let [sum, total] = [0, 0];
  return points.map(([x, y]) => {
    sum = sum * weight + y;
    total = total * weight + 1;
    return [x, sum / total];
  });
}

// The point whose x is nearest; points are in the order of x, or not.
export const nearestPoint = (points, x) =>
  points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));

// How fast something goes on that is counted from the beginning of each epoch, as [step, count per second]: over up to
// `span` steps. The clock begins anew with each epoch, and where a run was resumed.
export function speeds(steps, name, span = 10) {
  const found = [];
  let first = 0; // of those that the same clock has timed
  for (let i = 1; i < steps.length; i += 1) {
    const [before, now] = [steps[i - 1], steps[i]];
    if (before.epoch !== now.epoch || !(now.seconds >= before.seconds && now[name] > before[name])) first = i;
    const start = steps[Math.max(first, i - span)];
    const seconds = now.seconds - start.seconds;
    if (seconds > 0) found.push([now.step, (now[name] - start[name]) / seconds]);
  }
  return found;
}

export const scaleTo =
  ([from, to], [start, end]) =>
  (value) =>
    start + ((end - start) * (value - from)) / (to - from);

function shortest(value, digits) {
  const rounded = value.toPrecision(digits);
  const plain = rounded.includes("e+") ? Number(rounded).toLocaleString("en") : rounded;
  return plain.length > 7 ? value.toExponential(digits - 1) : plain;
}

// The bounds of a range and its middle, with as few digits, from three on, as tell them apart.
export function ticks([from, to]) {
  const values = [from, (from + to) / 2, to];
  for (let digits = 3; digits < 12; digits += 1) {
    const labels = values.map((value) => shortest(value, digits));
    if (new Set(labels).size === values.length) return values.map((value, i) => ({ value, label: labels[i] }));
  }
  return values.map((value) => ({ value, label: String(value) }));
}
