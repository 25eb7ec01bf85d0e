// Answers of one model to one input: bars, words that speak for a label, marked parts, masks, numbers.
import { h, headRow, meter, rowHead } from "./dom.js";
import { formatExact, formatPercent, formatProbability, formatScore } from "./numbers.js";

// `row` is the number of the input among several.
export function answerPanel(model, { answer, error }, row = null) {
  const head = h("p.quiet", row === null ? `Answer of ${model}` : `Row ${formatExact(row)}, answer of ${model}`);
  return h("section.panel", head, error ? h("pre.notice.wrong", error) : answerParts(answer));
}

function probabilityTable({ labels, rest, threshold }) {
  const isGiven = (probability, i) => (threshold === null ? i === 0 : probability !== null && probability >= threshold);
  const others = rest ? [{ label: `${formatExact(rest.count)} others`, probability: rest.probability }] : [];
  const head = headRow(["Label", "Bar", "Probability"]);
  head.classList.add("hidden");
  const rows = [...labels, ...others].map(({ label: name, probability }, i) => {
    const isBest = isGiven(probability, i);
    if (probability === null) return h("tr", rowHead(name), h("td.bar-cell"), h("td.number", "–"));
    const value = h("td.number", { title: String(probability) }, formatProbability(probability));
    return h("tr", { class: isBest ? "best" : "" }, rowHead(name), h("td.bar-cell", meter(probability)), value);
  });
  if (threshold === null) return h("table.bars", head, h("tbody", rows));
  const count = labels.filter(({ probability }) => probability >= threshold).length;
  const given = count === 1 ? "1 label is" : `${formatExact(count)} labels are`;
  const explained = h(
    "p.quiet",
    `${given} given: those of a probability of ${threshold} or more, the mark on the bars.`,
  );
  const style = `--threshold:${100 * threshold}%`;
  return h("div", h("table.bars.several", { style }, head, h("tbody", rows)), explained);
}

function word({ text: letters, score, share }) {
  if (score === null) return letters;
  const value = score.toFixed(3);
  const sign = score < 0 ? "−" : "+";
  const attributes = {
    class: score < 0 ? "against" : "for",
    style: `--share:${Math.abs(share).toFixed(3)}`,
    tabindex: "0",
    role: "img",
    "aria-label": `${letters}: ${value}`,
    title: `adds ${value} to the logit`,
  };
  return h("span.word", attributes, letters, h("sub", { "aria-hidden": "true" }, Math.abs(share) >= 0.15 ? sign : ""));
}

function contributions(found) {
  if (!found) return "";
  if (found.too_long) {
    const count = formatExact(found.too_long);
    return h("p.quiet", `The text has ${count} tokens, too many to compute what each word contributes.`);
  }
  const { steps, logit, baseline, gap, unread } = found;
  const method =
    `Integrated gradients, ${steps} steps: the logit is ${logit.toFixed(3)}, that of an empty text ` +
    `${baseline.toFixed(3)}; the contributions add up to the difference, with an error of ${Math.abs(gap).toFixed(3)}.`;
  const characters = unread === 1 ? "character is" : `${formatExact(unread)} characters are`;
  const rest = unread ? ` The last ${characters} beyond the model's maximum length.` : "";
  return h(
    "section",
    h("h3", `What each word contributes to ${found.label}: + for, − against`),
    h("p.saliency", found.segments.map(word)),
    h("p.quiet", method + rest),
  );
}

function truncation({ truncated }) {
  if (!truncated) return "";
  const { tokens, max_length: read } = truncated;
  const counts = `the model read ${formatExact(read)} of its ${formatExact(tokens)} tokens`;
  return h("p.notice", `The text was truncated: ${counts}.`);
}

function embedding({ size, norm, first }) {
  const numbers = first.map((value) => value.toFixed(5)).join("  ");
  return [h("p", `An embedding of size ${size}, norm ${formatScore(norm)}:`), h("pre.code", `${numbers} …`)];
}

function continuation({ text: prompt, continuation: added, tokens, ended }) {
  const count = tokens === 1 ? "1 token" : `${formatExact(tokens)} tokens`;
  const note = ended ? `${count} added; the text ends here.` : `${count} added, the most this page asks for.`;
  return [h("p.saliency", prompt, h("strong", added)), h("p.quiet", note)];
}

function answerParts(found) {
  const parts = [truncation(found)];
  if (found.labels) return [...parts, probabilityTable(found), contributions(found.saliency)];
  if (found.mask) return overlay(found.mask);
  if (found.parts) return [...parts, ...markedText(found)];
  if (found.hits) return neighbours(found);
  if ("continuation" in found) return continuation(found);
  return "value" in found ? [...parts, number(found)] : [...parts, ...embedding(found)];
}

function overlay({ image, classes }) {
  const swatch = (color) => h("span.swatch", { style: `background:rgb(${color.map(Number).join(" ")})` });
  const rows = classes.map(({ label, share, color }) =>
    h("tr", rowHead(swatch(color), label), h("td.number", { title: String(share) }, formatPercent(share))),
  );
  return [
    h("img.mask", { src: `data:image/png;base64,${image}`, alt: "The image beneath the colors of its classes" }),
    h(
      "table.answers.classes",
      headRow(["Class", "Share of the pixels"], (i) => i > 0),
      h("tbody", rows),
    ),
  ];
}

function markedText({ parts, probability }) {
  const part = ({ text, label }) => (label === null ? text : h("mark", text, h("sub", label)));
  const isMarked = parts.some(({ label }) => label !== null);
  return [
    h("p.saliency", parts.map(part)),
    isMarked ? "" : h("p.quiet", "Nothing of it is marked."),
    probability === undefined ? "" : h("p.quiet", `Probability ${formatProbability(probability)}`),
  ];
}

function neighbours({ hits, rows, notes }) {
  const body = hits.map(({ row, text, score }) =>
    h("tr", rowHead(formatExact(row)), h("td.text", text), h("td.number", formatScore(score))),
  );
  return [
    h(
      "table.answers.hits",
      headRow(["Row", "Text", "Cosine"], (i) => i === 2),
      h("tbody", body),
    ),
    h("p.quiet", `The nearest of ${formatExact(rows)} rows.`),
    ...notes.map((note) => h("p.quiet", note)),
  ];
}

const number = ({ value }) => h("p.value", { title: String(value) }, formatScore(value));
