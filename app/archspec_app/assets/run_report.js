// The report of a finished run: figures of each split, scores of each class, confusions, the surest mistakes.
import { button, h, headRow, rowHead, scrollable } from "./dom.js";
import { formatExact, formatProbability, formatScore } from "./numbers.js";
import { sortRows } from "./run_order.js";
import { sortHead } from "./run_table.js";
import { formatValue } from "./value_format.js";

const COLUMN_NAMES = {
  iou: "IoU",
  precision: "Precision",
  recall: "Recall",
  f1: "F1",
  support: "Support",
  pixels: "Pixels",
};
const WHOLE_NUMBERS = ["support", "pixels"];
const MAX_IN_SIGHT = 20; // classes
const LONGEST_NAME = 16; // characters of a predicted label in the head of the matrix

// What somebody has set for the report of a run.
export const reportView = () => ({ sorting: { column: "", isDown: true } });

// `figures` has the names of scores; `chooseSplit` asks for the report of another split.
export function reportPanel(report, view, figures, chooseSplit) {
  if (!report.splits.length) return report.problem ? h("section.report", reportTitle(report), problemLine(report)) : "";
  const classes = h("div");
  const sortBy = (column) => {
    const { sorting } = view;
    view.sorting = { column, isDown: sorting.column === column ? !sorting.isDown : column !== "label" };
    drawClasses();
    classes.querySelector(`[data-act="sort report ${column}"]`).focus();
  };
  const drawClasses = () => classes.replaceChildren(...classTable(report, view.sorting, sortBy));
  drawClasses();
  return h(
    "section.report",
    reportTitle(report),
    problemLine(report),
    figureTable(report, figures),
    splitChoice(report, chooseSplit),
    calibration(report),
    h("div.side-by-side", classes, matrix(report)),
    frequent(report),
    mistakeTable(report),
  );
}

const reportTitle = ({ file }) => h("h4", "Report", file ? h("small.quiet", ` also in ${file}`) : "");
const problemLine = ({ problem }) => (problem ? h("p.notice.wrong", problem) : "");
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function figureTable({ splits, unit }, figures) {
  const names = Object.keys(figures).filter((name) => splits.some((split) => name in split.figures));
  const counted = unit === "words" ? "Words" : unit === "pixels" ? "Images" : "Rows";
  const rows = splits.map(({ name, count, figures: values }) =>
    h(
      "tr",
      rowHead(name),
      h("td.number", count === null ? "–" : formatExact(count)),
      names.map((one) => h("td.number", formatScore(values[one]))),
    ),
  );
  const head = headRow(["Best weights on", counted, ...names.map((name) => capital(figures[name]))], (i) => i > 0);
  return scrollable("Figures of the best weights", h("table.report-figures", head, h("tbody", rows)));
}

function splitChoice({ splits, split, classes, mistakes }, chooseSplit) {
  if (splits.length < 2 || !(classes.length || mistakes.length)) return "";
  const choices = splits.map(({ name }) =>
    button(name, () => chooseSplit(name), {
      class: "chip",
      "aria-pressed": String(name === split),
      "data-act": `split ${name}`,
    }),
  );
  return h("p.bar.split-choice", { role: "group", "aria-label": "Split" }, "In detail: ", choices);
}

function calibration({ calibration: found, not_finite: leftOut }) {
  const facts = [];
  if (leftOut) facts.push(`${formatExact(leftOut)} rows have no finite numbers and are left out.`);
  if (found) {
    const { temperature, error, calibrated, thresholds, f1, best_f1: best } = found;
    facts.push(
      `Calibration error ${formatScore(error)}, and ${formatScore(calibrated)} with the temperature ` +
        `${formatValue(temperature)} that was fitted on validation.`,
    );
    if (thresholds.length === 1) {
      const [{ label, value }] = thresholds;
      facts.push(`The threshold with the highest F1 on validation is ${formatScore(value)}, for ${label}.`);
    }
    if (best !== null) facts.push(`F1 ${formatScore(f1)} at the threshold 0.5, and ${formatScore(best)} at the best.`);
  }
  return facts.length
    ? h(
        "ul.facts",
        facts.map((fact) => h("li", fact)),
      )
    : "";
}

// -------------------------------------------------------------------------------------- classes
function classTable({ columns, classes, omitted, unit, calibration: found }, sorting, sortBy) {
  if (!classes.length) return [];
  const thresholds = found && found.thresholds.length > 1 ? found.thresholds : [];
  const limits = new Map(thresholds.map(({ label, value }) => [label, value]));
  const names = [...columns, ...(limits.size ? ["threshold"] : [])];
  const rows = classes.map((one) => (limits.size ? { ...one, threshold: limits.get(one.label) ?? null } : one));
  const heads = ["label", ...names].map((name) => {
    const text = name === "label" ? (unit === "words" ? "Tag" : "Class") : (COLUMN_NAMES[name] ?? "Best threshold");
    return sortHead(text, name, sorting, sortBy, { isNumber: name !== "label", act: `sort report ${name}` });
  });
  const cell = (row, name) => {
    if (WHOLE_NUMBERS.includes(name)) return h("td.number", row[name] === null ? "–" : formatExact(row[name]));
    const isPart = name !== "threshold";
    const bar = isPart ? { class: "share", style: `--share:${barShare(row[name])}` } : {};
    return h("td.number", bar, formatScore(row[name]));
  };
  const body = (sorting.column ? sortRows(rows, sorting) : rows).map((row) =>
    h(
      "tr",
      rowHead(row.label),
      names.map((name) => cell(row, name)),
    ),
  );
  const more = omitted ? h("p.quiet", `${formatExact(omitted)} more are in the file of the report.`) : "";
  const table = h("table.classes", h("thead", h("tr", heads)), h("tbody", body));
  return [h("h5", unit === "words" ? "Tags" : "Classes"), scrollable("Scores of each class", table), more];
}

const barShare = (value) => Math.min(1, Math.max(0, value ?? 0)).toFixed(3);

// ----------------------------------------------------------------------------------- confusions
function matrix({ confusion, unit }) {
  if (!confusion) return "";
  const { labels, counts } = confusion;
  const short = (name) => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name);
  const heads = labels.map((label) => h("th", { scope: "col", title: label }, h("span", short(label))));
  const rows = counts.map((row, i) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return h(
      "tr",
      h("th", { scope: "row", title: labels[i] }, short(labels[i])),
      row.map((count, j) => {
        const part = total ? count / total : 0;
        const said = `${formatExact(count)} ${unit} of ${labels[i]} predicted as ${labels[j]}`;
        return h(
          "td",
          { class: i === j ? "right" : count ? "" : "none", style: `--share:${part.toFixed(3)}`, title: said },
          formatExact(count),
        );
      }),
    );
  });
  const corner = h("td", h("span.quiet", "true ↓ predicted →"));
  const table = h("table.confusion", h("thead", h("tr", corner, heads)), h("tbody", rows));
  const counted = unit === "pixels" ? "Pixels" : "Rows";
  return h(
    "div",
    h("h5", "Confusion matrix"),
    h(
      "p.quiet",
      `${counted} of each true label, by what was predicted: the stronger the colour, the greater the part of its row.`,
    ),
    scrollable("Confusion matrix", table),
  );
}

// In a large matrix they are hard to find.
function frequent({ confusions, confusion, unit }) {
  if (!confusions.length || (confusion && confusion.labels.length <= MAX_IN_SIGHT)) return "";
  const rows = confusions.map(({ label, predicted, count }) =>
    h("tr", h("td", label), h("td", predicted), h("td.number", formatExact(count))),
  );
  const head = headRow(["True label", "Predicted", capital(unit)], (i) => i === 2);
  return h(
    "div",
    h("h5", "Most frequent confusions"),
    scrollable("Most frequent confusions", h("table", head, h("tbody", rows))),
  );
}

// ------------------------------------------------------------------------------------- mistakes
function mistakeTable({ mistakes, split }) {
  if (!mistakes.length) return "";
  const areSeveral = "has_it" in mistakes[0];
  const names = areSeveral
    ? ["Input", "Label", "Has it", "Probability"]
    : ["Input", "True label", "Predicted", "Probability"];
  const rows = mistakes.map((one) =>
    h(
      "tr",
      h("td.input", inputOf(one)),
      h("td", one.label),
      areSeveral ? h("td", one.has_it ? "yes" : "no") : h("td.wrong", one.predicted),
      h("td.number", one.probability === null ? "–" : formatProbability(one.probability)),
    ),
  );
  const table = h(
    "table.mistakes",
    headRow(names, (i) => i === 3),
    h("tbody", rows),
  );
  return h(
    "div",
    h("h5", `Most confident mistakes on ${split}`),
    h("p.quiet", "What the model is wrong about and surest of: wrong labels of the data often stand here."),
    scrollable("Most confident mistakes", table),
  );
}

function inputOf({ row, texts, image, is_image: isImage }) {
  const number = row === null ? "" : h("small.quiet", ` row ${formatExact(row)}`);
  const text = texts.filter(Boolean).join(" | ");
  if (!isImage) return [text, number];
  const picture = image ? h("img", { src: `data:;base64,${image}`, alt: "" }) : "";
  return [picture, text ? h("span", text) : ["(an image of the data)", number]];
}
