// Which spec, and what is done with it. Events: "open" "upload" "save" "undo" "redo" "python" "plan" "saveplan" "sync"
const root = element.querySelector(".toolbar-view");
const button = (label, act, more = {}) => h("button", { type: "button", onclick: act, ...more }, label);
const picked = h("select", { "aria-label": "Spec" });
const upload = h("input", { type: "file", accept: ".yaml,.yml", "aria-label": "Open a file from this computer", class: "hidden" });
const plans = h("select", { "aria-label": "Freeze plan" });
const planName = h("input", { type: "text", placeholder: "plan name", "aria-label": "Name for the plan", spellcheck: "false", size: "12" });
const name = h("input", { type: "text", "aria-label": "Name to save the spec under", spellcheck: "false", size: "16" });
const undo = button("Undo", () => change("undo"), { "data-act": "undo" });
const redo = button("Redo", () => change("redo"), { "data-act": "redo" });
const notice = h("p", { class: "notice", role: "status" });
root.append(
  h("span", { class: "group" }, h("span", { class: "brand" }, "archspec")),
  h("span", { class: "group" }, picked, button("New", () => change("open", { spec: "" })), button("Open file", () => upload.click()), upload),
  h("span", { class: "group" }, undo, redo),
  h("span", { class: "group" }, name, button("Save", () => change("save", { spec: name.value })),
    button("Reload", () => change("open", { spec: shown }), { title: "open the saved version again; Undo brings back what was edited" })),
  h("span", { class: "group" }, button("YAML", () => download(name.value.split("/").at(-1) || "spec.yaml", editor.text, "application/yaml"), { title: "download the YAML" }),
    button("Python", () => change("python"), { title: "download the generated Python" })),
  h("span", { class: "group" }, h("label", { class: "inline" }, "Plan ", plans), planName,
    button("Save plan", () => change("saveplan", { plan: planName.value }))),
  notice);
picked.addEventListener("change", () => change("open", { spec: picked.value }));
plans.addEventListener("change", () => change("plan", { plan: plans.value }));
upload.addEventListener("change", async () => {
  const file = upload.files[0];
  if (!file) return;
  if (file.size > 1000000) { notice.textContent = `${file.name}: more than 1 MB`; return; }
  change("upload", { spec: file.name, text: await file.text() });
  upload.value = "";
});
let shown = null, delivered = null, draft = null, mark = null, checking = null, sent = null;

// The server has forgotten this page, as after a restart: begin anew with what is here.
function forgotten(found) {
  const other = mark !== null && found.mark !== mark && found.name === "untitled.yaml";
  mark = found.mark;
  if (other && draft) location.reload();
  return other && draft;
}
window.addEventListener("pagehide", () => {
  if (draft && editor.view && editor.text !== lines(draft.text)) keep({ ...draft, text: editor.text });
});
const lines = (text) => text.replace(/\r\n?/g, "\n");
function keep(draft) {
  try { sessionStorage.setItem("archspec", JSON.stringify(draft)); }
  catch { notice.textContent = "This text is too long to be kept over a reload."; }
}
// Answers may cross what is typed: in the end the server has the text that is on screen.
function agree(text) {
  const here = editor.text;
  if (!editor.view || here === lines(text) || here === sent) return;
  sent = here;
  trigger("sync");
}
function draw() {
  const found = props.value;
  if (!found?.names || forgotten(found)) return;
  if (turns.timer !== null) setTimeout(nextTurn, 0);
  clearTimeout(checking);
  checking = setTimeout(() => agree(found.draft.text), 1500);
  const names = found.names.includes(found.name) ? found.names : [found.name, ...found.names];
  const option = (one) => h("option", { value: one, selected: one === found.name }, one);
  picked.replaceChildren(
    h("optgroup", { label: "This folder" }, names.filter((one) => /\.ya?ml$/.test(one)).map(option)),
    h("optgroup", { label: "Packaged" }, names.filter((one) => !/\.ya?ml$/.test(one)).map(option)));
  picked.value = found.name;
  plans.replaceChildren(h("option", { value: "" }, "nothing frozen"), ...found.plans.map((one) => h("option", { value: one }, one)));
  plans.value = found.plan ?? "";
  if (shown !== found.name) { shown = found.name; name.value = /\.ya?ml$/.test(found.name) ? found.name : `${found.name}.yaml`; }
  undo.disabled = !found.undo;
  redo.disabled = !found.redo;
  notice.textContent = found.notice ?? "";
  notice.classList.toggle("wrong", Boolean(found.wrong));
  tell("revision");
  draft = found.draft;
  keep(draft);
  if (found.download && found.download.id !== delivered) {
    delivered = found.download.id;
    download(found.download.name, found.download.text, "text/plain");
  }
}
watch("value", draw);
draw();
