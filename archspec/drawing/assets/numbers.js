// Numbers for people, in the same format as on the server.

const COUNTS = ["", "k", "M", "B", "T"]; // thousands, millions, billions, as models are called
const OPERATIONS = ["", "k", "M", "G", "T", "P"];

// Four digits, in the largest unit that is reached once they are rounded.
function scaled(number, units) {
  let power = 0;
  let value = number;
  while (power < units.length - 1 && value >= (power ? 999.95 : 1000)) {
    value /= 1000;
    power += 1;
  }
  return power === 0 ? String(number) : `${fourDigits(value)} ${units[power]}`;
}

// Parameters or elements: 109483778 is "109.5 M".
export const formatCount = (number) => scaled(number, COUNTS);

// Multiply-accumulates: 11174217216 is "11.17 G".
export const formatOperations = (number) => scaled(number, OPERATIONS);

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

// Bytes in four digits, in the largest unit that is reached once they are rounded.
export function formatSize(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  let power = 0;
  let value = bytes;
  while (power < SIZES.length - 1 && (value >= 1024 || fourDigits(value) === "1024")) {
    value /= 1024;
    power += 1;
  }
  return `${fourDigits(Math.max(value, 1))} ${SIZES[power]}`;
}

const fourDigits = (value) => value.toFixed(value < 9.9995 ? 3 : value < 99.995 ? 2 : value < 999.95 ? 1 : 0);

export const formatExact = (number) => number.toLocaleString("en");

export const formatPercent = (share) => `${(100 * share).toFixed(1)} %`;

// Two decimals where one would show hardly anything.
export const formatProbability = (share) => `${(100 * share).toFixed(share > 0.0995 || share === 0 ? 1 : 2)} %`;

export const formatScore = (value) => (value === null || value === undefined ? "–" : value.toFixed(4));

export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return whole >= 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole} s`;
}

// The shapes of tensors; three or more that are equal, as in a list of keys, are one.
export function formatShapes(shapes) {
  const runs = [];
  for (const shape of shapes) {
    const text = `[${shape.join(", ")}]`;
    if (runs.at(-1)?.text === text) runs.at(-1).times += 1;
    else runs.push({ text, times: 1 });
  }
  const format = ({ text, times }) => (times < 3 ? Array(times).fill(text).join(" ") : `${times} × ${text}`);
  return runs.map(format).join(" ");
}
