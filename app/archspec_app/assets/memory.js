// Memory of a training step: a bar for each freeze plan, and the GPUs that it fits on. Event: "compute"
import { h, headRow, rowHead, scrollable } from "./dom.js";
import { oneAtATime, whenVisible } from "./page.js";

const root = element.querySelector(".memory-view");
const message = h("p.said", { role: "status" }, "Memory of a training step …");
const place = h("div");
root.append(message, place);

const { ask, done } = oneAtATime(() => {
  place.classList.add("old");
  message.textContent = "Comparing the freeze plans …";
  trigger("compute", {});
});
let shown = null;

function bar(parts, largest) {
  return h(
    "span.stack",
    { "aria-hidden": "true" },
    parts.map(({ name, value, short }, i) =>
      h(`span.part.part-${i}`, { style: `width:${(100 * value) / largest}%`, title: `${name}: ${short}` }),
    ),
  );
}

function planRow({ plan, chosen, parts, total }, largest) {
  const spoken = parts.map(({ name, short }) => `${name} ${short}`).join(", ");
  return h(
    "tr",
    { class: chosen ? "chosen" : "", "aria-current": chosen ? "true" : null },
    rowHead(plan),
    h("td.number", total.short),
    h("td.bars", bar(parts, largest), h("span.hidden", spoken)),
  );
}

function plans(rows, leftOut) {
  const largest = Math.max(...rows.map(({ total }) => total.value), 1);
  const named = rows.reduce((most, { parts }) => (parts.length > most.length ? parts : most), []);
  return h(
    "section",
    h("h3", "Memory of a training step, by freeze plan"),
    h(
      "p.legend",
      named.map(({ name }, i) => h("span", h(`span.part.part-${i}`, { "aria-hidden": "true" }), name)),
    ),
    scrollable(
      "Memory by freeze plan",
      h(
        "table.plans",
        headRow(["Freeze plan", "Total", "Parts"], (i) => i === 1),
        h(
          "tbody",
          rows.map((row) => planRow(row, largest)),
        ),
      ),
    ),
    leftOut ? h("p.quiet", `Further plans, not shown: ${leftOut}.`) : "",
  );
}

function gpus(rows) {
  const batch = (number) => (number === null ? "–" : `≈ ${number.toLocaleString("en-US")}`);
  return h(
    "section",
    h("h3", "Fits on"),
    h("p.quiet", "With this plan, as CUDA saves activations, in 90 % of the memory; the loss is not included."),
    scrollable(
      "GPUs by memory",
      h(
        "table.gpus",
        headRow(["GPU memory", "Fits", "Largest batch", "Such as"], (i) => i === 2),
        h(
          "tbody",
          rows.map((row) =>
            h(
              "tr",
              rowHead(row.memory),
              h("td", h("span.badge", { class: row.fits ? "exact" : "wrong" }, row.fits ? "yes" : "no")),
              h("td.number", batch(row.batch)),
              h("td.quiet", row.examples),
            ),
          ),
        ),
      ),
    ),
  );
}

function draw() {
  const value = props.value;
  if (value?.answer_id === undefined || shown === value.answer_id) return;
  shown = value.answer_id;
  done();
  message.textContent = value.error ?? "";
  if (value.error) return;
  place.classList.remove("old");
  place.replaceChildren(plans(value.plans, value.left_out), gpus(value.gpus));
}
watch("value", draw);
whenVisible(root, ask, { isScrolledTo: true });
