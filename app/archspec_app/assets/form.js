// Fields of a form; a change is sent to the server, which answers with the new fields. What a field cannot hold is
// told at the field while it is typed, and not sent. Event: "field"
import { button, h, keepFocus, option } from "./dom.js";
import { changeBy } from "./page.js";

const change = changeBy(trigger);
const root = element.querySelector(".form-view");

function input({ name, type, value, choices, help, error, nullable, min, max }) {
  const described = [help ? `help-${name}` : "", `error-${name}`].filter(Boolean).join(" ");
  const common = { name, "aria-describedby": described, "aria-invalid": error ? "true" : null };
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
  const type = field.type === "choice" ? "" : h("span.quiet", ` ${field.type}${bounds(field)}`);
  return h(
    "div.field",
    { class: `${field.type === "patterns" ? "patterns" : ""} ${field.changed ? "changed" : ""}` },
    h("label", h("span.field-name", label), type, input(field)),
    field.changed ? resetButton(field, label) : "",
    h("p.control-error", { id: `error-${field.name}`, role: "alert" }, field.error ?? ""),
    field.help ? h("p.quiet", { id: `help-${field.name}` }, field.help) : "",
  );
}

function draw() {
  const fields = props.value?.fields;
  if (!fields) return;
  const none = fields.length ? [] : [h("p.quiet", "This spec has no parameters.")];
  keepFocus(root, "name", () => root.replaceChildren(...none, ...fields.map(fieldRow)));
}
// What is wrong with what is typed, as far as the field knows.
function complaint(target) {
  const field = props.value.fields.find(({ name }) => name === target.name);
  if (target.validity.valid || !field) return "";
  return `must be ${field.type === "int" ? "an integer" : "a number"}${bounds(field)}; not applied`;
}
function check(target) {
  const wrong = complaint(target);
  const message = target.closest(".field")?.querySelector(".control-error");
  if (message && message.textContent !== wrong) message.textContent = wrong;
  if (wrong) target.setAttribute("aria-invalid", "true");
  else target.removeAttribute("aria-invalid");
  return !wrong;
}
root.addEventListener("input", ({ target }) => {
  if (target.name) check(target);
});
root.addEventListener("change", ({ target }) => {
  if (target.name && check(target)) change("field", { key: target.name, text: target.value, reset: false });
});
watch("value", draw);
draw();
