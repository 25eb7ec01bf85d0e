// What is in a model for one input: figures of the outputs of its modules along the tree, and attention weights.
import { drawAttention } from "./attention_map.js";
import { meanOfHeads } from "./attention_positions.js";
import { h, headRow, option, rowHead, scrollable } from "./dom.js";
import { formatExact, formatPercent } from "./numbers.js";
import { namesInTree } from "./tree_names.js";
import { formatValue } from "./value_format.js";

const HEADS = ["Module", "Output", "Mean", "Std. dev.", "Lowest", "Highest", "Zeros"];

// `ask(index)` returns a promise of the answer with another attention map.
export function insidePanel(model, { answer, error }, ask) {
  const head = h("p.quiet", `Inside ${model}, for this input`);
  if (error) return h("section.panel.inside", head, h("pre.notice.wrong", error));
  return h("section.panel.inside", head, attention(answer, ask), modules(answer));
}

// --------------------------------------------------------------------------------------- attention
function attention(answer, ask) {
  const notes = answer.notes.map((note) => h("p.quiet", `Not shown: ${note}.`));
  if (!answer.map) return h("section", h("h4", "Attention"), notes);
  let { map } = answer;
  const place = h("div");
  const message = h("p.quiet", { role: "status" });
  const names = answer.maps.map(({ module }, i) => option(String(i), "0", module || "the whole model"));
  const which = h("select", { "aria-label": "Module with attention", onchange: choose }, names);
  const head = h("select", { "aria-label": "Head", onchange: draw });

  function drawHeads() {
    const numbers = map.weights.map((_, i) => option(String(i), "", `head ${i + 1}`));
    head.replaceChildren(option("", "", `mean of ${map.weights.length} heads`), ...numbers);
  }
  function draw() {
    const { module, source, queries, keys } = answer.maps[map.index];
    const weights = head.value === "" ? meanOfHeads(map.weights) : map.weights[Number(head.value)];
    const cut = queries > weights.length || keys > weights[0].length;
    const shown = cut ? `; the first ${weights.length} of ${formatExact(queries)} queries are shown` : "";
    const how = source === "softmax" ? "results of softmax" : "computed anew from queries and keys";
    message.textContent = `A row is a query, a column a key; the weights of a row add up to 1 (${how})${shown}.`;
    place.replaceChildren(
      scrollable("Attention weights", drawAttention(weights, answer.tokens, `Attention of ${module}`)),
    );
  }
  async function choose() {
    message.textContent = "Computing …";
    const value = await ask(Number(which.value));
    if (value.error) {
      message.textContent = value.error;
      return;
    }
    ({ map } = value.answer);
    drawHeads();
    draw();
  }
  drawHeads();
  draw();
  return h("section", h("h4", "Attention"), h("div.bar", which, head), message, place, notes);
}

// ----------------------------------------------------------------------------------------- modules
function modules(answer) {
  const search = h("input", {
    type: "search",
    "aria-label": "Search modules of the model",
    placeholder: "Search modules",
  });
  const noted = h("input", { type: "checkbox", onchange: draw });
  const places = namesInTree(answer.modules.map(({ module }) => module));
  const message = h("p.quiet", { role: "status" });
  const body = h("tbody");
  const table = h(
    "table.inside-modules",
    headRow(HEADS, (i) => i > 1),
    body,
  );
  const wide = scrollable("Activations of modules", table);
  search.addEventListener("input", draw);

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const shown = answer.modules.filter(
      ({ module, type, notes }) =>
        `${module} ${type}`.toLowerCase().includes(wanted) && (!noted.checked || notes.length),
    );
    const isWhole = shown.length === answer.modules.length;
    body.replaceChildren(
      ...shown.map((one, i) => moduleRow(one, isWhole ? places[i] : { name: one.module, depth: 0 })),
    );
    wide.hidden = !shown.length;
    const all = formatExact(answer.modules.length + answer.left_out);
    const count = answer.modules.filter(({ notes }) => notes.length).length;
    const rest = answer.left_out ? `; ${formatExact(answer.left_out)} without a note are not shown` : "";
    message.textContent = `${all} modules, ${formatExact(count)} with a note${rest}`;
  }
  draw();
  return h(
    "section",
    h("h4", "Activations"),
    h("div.bar", search, h("label.inline", noted, " only those with a note")),
    message,
    wide,
  );
}

// In the whole tree a module stands below the one that it is in; among some of them it has its path.
function moduleRow({ module, type, shape, dtype, mean, std, lowest, highest, zeros, calls, notes }, { name, depth }) {
  const indent = depth ? `padding-left:${Math.min(depth, 12) * 10}px` : null;
  const times = calls > 1 ? ` · the last of ${formatExact(calls)} calls` : "";
  return h(
    "tr",
    { class: notes.length ? "noted" : "" },
    rowHead(
      h("span.module-path", { style: indent, title: module }, name || "the whole model"),
      h("span.quiet", ` ${type}${times}`),
      notes.length ? h("span.note", notes.join("; ")) : "",
    ),
    h("td", { title: dtype }, `[${shape.join(", ")}]`),
    [mean, std, lowest, highest].map((value) => h("td.number", formatValue(value))),
    h("td.number", formatPercent(zeros)),
  );
}
