// Totals and memory, each figure with its unit and how sure it is.
const root = element.querySelector(".cost-view");
function draw() {
  const found = props.value;
  if (!found?.groups) return;
  found.uncounted ??= {};
  found.warnings ??= [];
  root.replaceChildren(...found.groups.map((group) => {
    const most = Math.max(...group.figures.filter((one) => one.name !== "total").map((one) => one.value), 1);
    const memory = group.title.startsWith("Memory");
    return h("section", {}, h("h3", {}, group.title), h("table", { class: "figures" },
      h("thead", { class: "hidden" }, h("tr", {}, ["figure", "value", "exactly", "how sure"].map((one) => h("th", { scope: "col" }, one)))),
      h("tbody", {}, group.figures.map((one) => h("tr", { class: one.name === "total" ? "total" : "" },
        h("th", { scope: "row" }, one.name),
        h("td", { class: "number", title: one.full }, one.short),
        h("td", { class: "quiet full" }, one.full),
        h("td", {}, h("span", { class: `badge ${one.exact ? "exact" : "estimated"}` }, one.exact ? "exact" : "estimated")),
        memory && one.name !== "total" ? h("td", { class: "bars" }, h("span", { class: "meter" }, h("span", { style: `width:${100 * one.value / most}%` }))) : "")))));
  }),
  ...found.warnings.map((one) => h("p", {}, `Warning: ${one}.`)),
  Object.keys(found.uncounted).length
    ? h("p", { class: "quiet" }, `Not counted in MACs: ${Object.entries(found.uncounted).map(([name, times]) => `${name} ${times.toLocaleString("en")}×`).join(", ")}.`) : "");
}
watch("value", draw);
draw();
