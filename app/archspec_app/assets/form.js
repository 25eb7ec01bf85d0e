// Fields of a form; every change goes to the server, which says what became of it. "field"
const root = element.querySelector(".form-view");
function input(field) {
  const common = { name: field.name, "aria-describedby": field.help ? `help-${field.name}` : null };
  if (field.choices || field.type === "bool") {
    const choices = field.choices ?? ["true", "false"];
    return h("select", common, choices.map((one) => h("option", { value: one, selected: one === field.value }, one)));
  }
  const whole = field.type === "int", number = whole || field.type === "float";
  if (number && field.value !== "null" && !field.nullable)
    return h("input", { ...common, type: "number", value: field.value, min: field.min, max: field.max, step: whole ? 1 : "any" });
  return h("input", { ...common, type: "text", value: field.value, spellcheck: "false" });
}
function draw() {
  const fields = props.value?.fields;
  if (!fields) return;
  const focused = root.contains(document.activeElement) ? document.activeElement.getAttribute("name") : null;
  root.replaceChildren(
    fields.length ? "" : h("p", { class: "quiet" }, props.value.empty ?? "This spec has no parameters."),
    ...fields.map((field) => h("div", { class: `field${field.changed ? " changed" : ""}` },
      h("label", {}, h("span", { class: "field-name" }, field.label ?? field.name),
        h("span", { class: "quiet" }, ` ${field.type}${bounds(field)}`), input(field)),
      field.changed ? h("button", { type: "button", class: "reset", title: "back to what the spec says",
        "aria-label": `Reset ${field.label ?? field.name}`, onclick: () => change("field", { key: field.name, text: "", reset: true }) }, "↺") : "",
      field.help ? h("p", { class: "quiet", id: `help-${field.name}` }, field.help) : "")));
  if (focused) root.querySelector(`[name="${CSS.escape(focused)}"]`)?.focus();
}
function bounds(field) {
  if (field.min != null && field.max != null) return `, ${field.min} to ${field.max}`;
  if (field.min != null) return `, at least ${field.min}`;
  return field.max != null ? `, at most ${field.max}` : "";
}
root.addEventListener("change", (event) => {
  const at = event.target;
  if (at.name) change("field", { key: at.name, text: at.value, reset: false });
});
watch("value", draw);
draw();
