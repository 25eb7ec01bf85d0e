// Predictions for several inputs as a file: a table of comma-separated values, or JSON.

const SIDES = "ab";

// `inputs` have `text` and perhaps `second`; `answers` has for each model the answers to them, with a label and its
// probability, if there is one, or an error; what is not answered yet is left out.
export function predictionRows(inputs, models, answers) {
  const hasSecond = inputs.some(({ second }) => second);
  return inputs.map(({ text, second }, i) => {
    const row = { row: i + 1, input: text, ...(hasSecond ? { second: second ?? "" } : {}) };
    models.forEach((_, model) => {
      const end = models.length > 1 ? `_${SIDES[model]}` : "";
      const { label, probability, error } = answers[model][i] ?? {};
      row[`label${end}`] = label ?? null;
      row[`probability${end}`] = probability ?? null;
      row[`error${end}`] = error ?? null;
    });
    return row;
  });
}

const cell = (value) => {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export function asCsv(rows) {
  const names = Object.keys(rows[0] ?? {});
  return [names, ...rows.map((row) => names.map((name) => row[name]))]
    .map((cells) => `${cells.map(cell).join(",")}\r\n`)
    .join("");
}

export const asJson = (models, rows) => `${JSON.stringify({ models, rows }, null, 2)}\n`;
