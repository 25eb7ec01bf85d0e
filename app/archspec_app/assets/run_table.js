// The table of runs: sorted by a column, with boxes for those to compare.
import { button, h } from "./dom.js";
import { formatDuration, formatPercent, formatScore } from "./numbers.js";
import { sortRows } from "./run_order.js";

// What a run does while its status is that it runs: the steps are not all of it.
const doing = ({ status, share, evaluating }) =>
  status === "running" && (evaluating || share === 1) ? "evaluating" : status;
export const badge = (row) => h("span.badge", { class: `status-${row.status}` }, doing(row));
export const bestScore = ({ best }) => (best ? `${best.name} ${formatScore(best.value)}` : "");

const time = ({ started }) => (started ? started.slice(0, 16).replace("T", " ") : "–");

// Columns that are left out where there is little room have a class that says how early.
const COLUMNS = {
  key: { name: "Run" },
  spec: { name: "Spec", kind: "third" },
  plan: { name: "Freeze plan", kind: "second" },
  status: { name: "Status", cell: badge },
  share: {
    name: "Progress",
    cell: ({ share }) => (share === null ? "–" : formatPercent(share)),
    isNumber: true,
    kind: "first",
  },
  seconds: {
    name: "Time",
    cell: ({ seconds }) => formatDuration(seconds),
    isNumber: true,
    kind: "second",
  },
  best: { name: "Best", cell: bestScore, isNumber: true, kind: "first" },
  started: { name: "Started", cell: time, kind: "third" },
};

// The head of a column by which rows are sorted.
export function sortHead(name, column, sorting, sortBy, { isNumber, kind, act = `sort ${column}` }) {
  const order = sorting.isDown ? "descending" : "ascending";
  const isSorted = sorting.column === column;
  const sign = isSorted ? (sorting.isDown ? " ↓" : " ↑") : "";
  const sort = button(name + sign, () => sortBy(column), { class: "link", "data-act": act });
  return h("th", { scope: "col", class: classOf(isNumber, kind), "aria-sort": isSorted ? order : null }, sort);
}

export function runTable(rows, { selected, compared, sorting }, acts) {
  if (!rows.length) return h("p.quiet", "No runs in this folder yet.");
  const heads = Object.entries(COLUMNS).map(([column, { name, isNumber, kind }]) =>
    sortHead(name, column, sorting, acts.sortBy, { isNumber, kind }),
  );
  const body = sortRows(rows, sorting).map((row) => runRow(row, row.key === selected, compared.has(row.key), acts));
  return h("table", h("thead", h("tr", h("td"), heads)), h("tbody", body));
}

const classOf = (isNumber, kind) => [isNumber ? "number" : "", kind ? `drop-${kind}` : ""].join(" ");

function runRow(row, isSelected, isChecked, acts) {
  const { key, note } = row;
  const attributes = { class: "link", "data-run": key, "data-act": `run ${key}`, "aria-pressed": String(isSelected) };
  const box = h("input", {
    type: "checkbox",
    checked: isChecked,
    "aria-label": `Compare ${key}`,
    "data-act": `check ${key}`,
    onchange: (event) => acts.check(key, event.target.checked),
  });
  const cells = Object.entries(COLUMNS).map(([column, { cell, isNumber, kind }]) =>
    column === "key"
      ? h(
          "td.run-name",
          button(key, () => acts.select(key), attributes),
          note ? h("small.quiet", note) : "",
        )
      : h("td", { class: classOf(isNumber, kind) }, cell ? cell(row) : row[column]),
  );
  return h("tr", { class: isSelected ? "chosen" : "" }, h("td", box), cells);
}
