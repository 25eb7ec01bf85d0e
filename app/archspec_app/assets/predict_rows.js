// The table of several inputs with the answers of one or two models, filled in as they arrive.
import { button, download, h, headRow, scrollable } from "./dom.js";
import { formatExact, formatProbability } from "./numbers.js";
import { asCsv, asJson, predictionRows } from "./prediction_file.js";

const LETTERS = "AB";
const MAX_COUNTS = 8;

// `inputs` have `text`, and `second` or `url` (of a picture); `open` shows the whole answer to one of them.
export function rowsTable(inputs, models, open) {
  const isCompared = models.length > 1;
  const answers = models.map(() => []);
  const status = h("p.quiet", { role: "status" });
  const found = () => predictionRows(inputs, models, answers);
  const saves = h(
    "p.bar",
    button("Save as CSV", () => download("predictions.csv", asCsv(found()), "text/csv")),
    button("Save as JSON", () => download("predictions.json", asJson(models, found()), "application/json")),
  );
  const names = isCompared ? models.map((model, i) => h("p.quiet", `${LETTERS[i]}: ${model}`)) : [];
  const columns = models.flatMap((_, i) =>
    isCompared ? [`Label ${LETTERS[i]}`, LETTERS[i]] : ["Label", "Probability"],
  );
  const rows = inputs.map(inputRow);
  const body = h("tbody", rows);
  const head = headRow(["Row", "Input", ...columns], (i) => i > 1 && i % 2 === 1);
  const table = scrollable("Predictions", h("table.answers.rows", head, body));

  function inputRow({ text, second, url }, i) {
    const shown = [url ? h("img", { src: url, alt: "" }) : "", second ? `${text} | ${second}` : text || "(empty)"];
    const cells = models.flatMap(() => [h("td.label"), h("td.number")]);
    const act = () => {
      for (const row of rows) row.removeAttribute("aria-current");
      rows[i].setAttribute("aria-current", "true");
      open(i);
    };
    const input = button(shown, act, { class: "link", title: "show the whole answer" });
    return h("tr", h("td.number", formatExact(i + 1)), h("td.input", input), cells);
  }
  function fill(model, start, some) {
    some.forEach((answer, offset) => {
      const i = start + offset;
      answers[model][i] = answer;
      const [label, share] = [...rows[i].cells].slice(2 + 2 * model);
      label.textContent = answer.error ?? answer.label;
      label.classList.toggle("wrong", Boolean(answer.error));
      const { probability } = answer;
      share.textContent = probability === null || probability === undefined ? "" : formatProbability(probability);
      if (isCompared) rows[i].classList.toggle("differs", differs(i));
    });
    status.textContent = summary();
  }
  const differs = (i) => Boolean(answers[0][i] && answers[1][i]) && answers[0][i].label !== answers[1][i].label;

  function summary() {
    const done = answers.at(-1).filter(Boolean).length;
    if (done < inputs.length) return `${formatExact(done)} of ${formatExact(inputs.length)} …`;
    if (!isCompared) return `${formatExact(done)} answers: ${counts(answers[0])}`;
    const different = inputs.filter((_, i) => differs(i)).length;
    if (!different) return `A and B agree in all ${formatExact(done)} answers.`;
    return `A and B differ in ${formatExact(different)} of ${formatExact(done)} answers; these rows are marked.`;
  }
  status.textContent = summary();
  return { head: [...names, status, saves], body: table, fill };
}

function counts(answers) {
  const found = new Map();
  for (const { label, error } of answers) {
    const name = error ? "none" : label;
    found.set(name, (found.get(name) ?? 0) + 1);
  }
  const ordered = [...found].toSorted(([, one], [, other]) => other - one);
  const shown = ordered.slice(0, MAX_COUNTS).map(([name, count]) => `${name} ${formatExact(count)}`);
  const more = ordered.length - shown.length;
  return shown.join(" · ") + (more > 0 ? ` · ${formatExact(more)} more` : "");
}
