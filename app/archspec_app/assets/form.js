// Fields of a form; every change is sent to the server, which answers with the new fields. Event: "field"
import { button, h, keepFocus, option } from "./dom.js";
import { change } from "./page.js";

const root = element.querySelector(".form-view");

function input({ name, type, value, choices, help, nullable, min, max }) {
  const common = { name, "aria-describedby": help ? `help-${name}` : null };
  const values = choices ?? (type === "bool" ? ["true", "false"] : null);
  if (values)
    return h(
      "select",
      common,
      values.map((choice) => option(choice, value)),
    );
  if (["int", "float"].includes(type) && value !== "null" && !nullable)
    return h("input", { ...common, type: "number", value, min, max, step: type === "int" ? 1 : "any" });
  return h("input", { ...common, type: "text", value, spellcheck: "false" });
}

function bounds({ min, max }) {
  if (min != null && max != null) return `, ${min} to ${max}`;
  if (min != null) return `, at least ${min}`;
  return max != null ? `, at most ${max}` : "";
}

function resetButton({ name }, label) {
  const act = () => change("field", { key: name, text: "", reset: true });
  return button("↺", act, { class: "reset", title: "reset to the spec's value", "aria-label": `Reset ${label}` });
}

function fieldRow(field) {
  const label = field.label ?? field.name;
  const type = h("span.quiet", ` ${field.type}${bounds(field)}`);
  return h(
    "div.field",
    { class: field.changed ? "changed" : "" },
    h("label", h("span.field-name", label), type, input(field)),
    field.changed ? resetButton(field, label) : "",
    field.help ? h("p.quiet", { id: `help-${field.name}` }, field.help) : "",
  );
}

function draw() {
  const fields = props.value?.fields;
  if (!fields) return;
  const none = fields.length ? [] : [h("p.quiet", "This spec has no parameters.")];
  keepFocus(root, "name", () => root.replaceChildren(...none, ...fields.map(fieldRow)));
}
root.addEventListener("change", ({ target }) => {
  if (target.name) change("field", { key: target.name, text: target.value, reset: false });
});
watch("value", draw);
draw();
