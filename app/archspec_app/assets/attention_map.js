// Attention weights as squares: a row for each query, a column for each key.
import { positionNames } from "./attention_positions.js";
import { h } from "./dom.js";
import { formatProbability } from "./numbers.js";

const CELL = 14;
const LETTER = 6.2; // pixels, about

export function drawAttention(weights, tokens, label) {
  const rows = positionNames(tokens, weights.length);
  const columns = positionNames(tokens, weights[0].length);
  const most = Math.max(...weights.flat(), 1e-9);
  const left = 8 + LETTER * Math.max(...rows.map(({ length }) => length));
  const top = 8 + LETTER * Math.max(...columns.map(({ length }) => length));
  const width = left + CELL * columns.length + 2;
  const height = top + CELL * rows.length + 2;
  const cell = (weight, i, j) =>
    h(
      "rect",
      {
        x: left + CELL * j,
        y: top + CELL * i,
        width: CELL - 1,
        height: CELL - 1,
        "fill-opacity": (0.04 + (0.96 * weight) / most).toFixed(3),
      },
      h("title", `${rows[i]} → ${columns[j]}: ${formatProbability(weight)}`),
    );
  const attributes = { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label };
  return h(
    "svg.attention",
    attributes,
    rows.map((name, i) => h("text", { x: left - 4, y: top + CELL * i + 11, "text-anchor": "end" }, name)),
    columns.map((name, j) =>
      h("text", { transform: `translate(${left + CELL * j + 11},${top - 4}) rotate(-90)` }, name),
    ),
    weights.map((row, i) => row.map((weight, j) => cell(weight, i, j))),
  );
}
