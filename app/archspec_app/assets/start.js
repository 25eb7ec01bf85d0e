// The start view: the example, packaged models, specs and models of the folder, texts of one's own.
// Events: "open" "upload" "folder" "example" "choices"
import { addressed, setAddress } from "./address.js";
import { button, h, option } from "./dom.js";
import { openTab } from "./navigation.js";
import { changeBy, on, onLatest, oneAtATime, send, whenVisible } from "./page.js";
import { LEVEL_HEIGHT, TREE_WIDTH, levelPaths } from "./tree_levels.js";
import { MAX_UPLOAD, leave, setAtStart, unsaved } from "./work.js";

const change = changeBy(trigger);
const root = element.querySelector(".start-view");
const FIELDS = ["all", "text", "vision", "audio", "multimodal"];
const MAX_RECENT = 6;
let choices = { packaged: [], specs: [], folders: [] };
let field = "all";
let isFirst = true;
let opening = null; // what is being opened, and the tab to go to
const { ask, done } = oneAtATime(() => trigger("choices"));

const notice = h("p.notice.wrong", { role: "alert" });
const search = h("input", {
  type: "search",
  placeholder: "Search models, such as bert or classification",
  "aria-label": "Search packaged models",
});
const chips = h("span.group", { role: "group", "aria-label": "Field" });
const cards = h("div.cards");
const recent = h("div.links");
const specs = h("div.links");
const folder = h("input", {
  type: "text",
  list: "start-folders",
  placeholder: "folder with a config.json",
  "aria-label": "Folder of a Hugging Face model",
  spellcheck: "false",
});
const folders = h("datalist", { id: "start-folders" });
// Out of the way of the Tab key: the button opens it.
const upload = h("input.hidden", {
  type: "file",
  accept: ".yaml,.yml",
  tabindex: "-1",
  "aria-label": "Spec from this computer",
});
const where = h("small.quiet");

function begin(name, data, label, tab = "tree") {
  leave(() => {
    opening = { label, tab };
    notice.textContent = "";
    root.classList.add("opening");
    change(name, data);
  });
}
const openSpec = (name) => begin("open", { spec: name }, name);
const openFolder = () => begin("folder", { folder: folder.value }, folder.value);
const section = (title, ...content) => h("section", h("h2", title), ...content);

root.append(
  h(
    "header",
    h("h1", "Neural networks as short YAML specs"),
    h("p.quiet", "Read a model as a tree, choose what to train, see what it costs, fine-tune it and try it out."),
  ),
  notice,
  h(
    "div.start-columns",
    h(
      "section.example",
      h(
        "div",
        h("h2", "New here?"),
        h("p", "Fine-tune a small text classifier on this machine: 2,400 definitions, eight topics, about a minute."),
        where,
      ),
      button("Try the example", () => begin("example", {}, "the example", "train"), { class: "primary" }),
    ),
    h(
      "aside",
      section("Recent", recent),
      section("This folder", specs),
      section(
        "Hugging Face model",
        h("div.bar", folder, button("Open", openFolder, { "aria-label": "Open this folder" })),
        folders,
      ),
      section(
        "Your own",
        h(
          "div.bar",
          button("New spec", () => openSpec("")),
          button("Open a file …", () => upload.click()),
        ),
        upload,
        h("small.quiet.with-keyboard", "Or paste YAML here: Ctrl+V anywhere on this view."),
      ),
    ),
    h("section.models", h("h2", "Packaged models"), h("div.bar", search, chips), cards),
  ),
);

// ----------------------------------------------------------------------------------------- recent
function readRecent() {
  try {
    const names = JSON.parse(localStorage.getItem("archspec-recent") ?? "[]");
    return Array.isArray(names) ? names.filter((name) => typeof name === "string").slice(0, MAX_RECENT) : [];
  } catch {
    return [];
  }
}
function remember(name) {
  const names = [name, ...readRecent().filter((other) => other !== name)].slice(0, MAX_RECENT);
  localStorage.setItem("archspec-recent", JSON.stringify(names));
}

// ---------------------------------------------------------------------------------------- drawing
const link = (name) => button(name, () => openSpec(name), { class: "link" });

function card({ name, field: kind, parameters, task, description, levels }) {
  return button(
    [
      h("span.card-head", h("strong", name), h("span.number", parameters)),
      h("span.quiet", [kind, task].filter(Boolean).join(" · ")),
      h("span.about", description),
      thumbnail(levels),
    ],
    () => openSpec(name),
    { class: "card", title: description, "data-spec": name },
  );
}

// The modules of each level side by side, as wide as their share of the parameters.
function thumbnail(levels) {
  if (!levels.length) return "";
  const paths = levelPaths(levels).map((d, i) => h("path", { class: `level-${i + 1}`, d }));
  const box = `0 0 ${TREE_WIDTH} ${levels.length * LEVEL_HEIGHT}`;
  return h("svg.thumbnail", { viewBox: box, "aria-hidden": "true" }, h("title", "modules by parameters"), paths);
}

function resume() {
  setAtStart(false);
  setAddress({ start: "" });
}

function drawCards() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const isMatch = (model) => {
    const text = [model.name, model.field, model.parameters, model.task, model.description].join(" ").toLowerCase();
    return (field === "all" || model.field === field) && words.every((word) => text.includes(word));
  };
  // Whose name begins with the first word, or is it, comes before those that only contain it.
  const [first = ""] = words;
  const rank = ({ name }) => (name === first ? 0 : name.startsWith(first) ? 1 : 2);
  const found = choices.packaged.filter(isMatch).toSorted((one, other) => rank(one) - rank(other));
  cards.replaceChildren(...found.map(card), found.length ? "" : h("p.quiet", "No packaged model matches."));
  chips.replaceChildren(
    ...FIELDS.map((name) =>
      button(name, () => chooseField(name), { class: "chip", "aria-pressed": String(name === field) }),
    ),
  );
}
function chooseField(name) {
  field = name;
  drawCards();
}
function draw() {
  const open = unsaved.name && !unsaved.isEmpty ? unsaved.name : "";
  const known = new Set([...choices.specs, ...choices.packaged.map(({ name }) => name)]);
  const back = open ? h("p", button(`Continue with ${open}`, resume)) : "";
  const names = readRecent().filter((name) => known.has(name) && name !== open);
  recent.replaceChildren(back, ...names.map(link));
  recent.parentElement.hidden = !open && !names.length;
  const none = h("p.quiet", "No specs in the folder that the inspector was started in.");
  specs.replaceChildren(...choices.specs.map(link), choices.specs.length ? "" : none);
  folders.replaceChildren(...choices.folders.map((name) => option(name)));
  if (choices.example)
    where.textContent =
      `Puts 5 small files into ${choices.example.folder}/ in this folder. ` +
      "Its data are offered for every other text classifier, too.";
  drawCards();
}

// ----------------------------------------------------------------------------------------- events
search.addEventListener("input", drawCards);
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && search.value.trim()) cards.querySelector("button")?.click();
});
folder.addEventListener("keydown", (event) => {
  if (event.key === "Enter") openFolder();
});
async function openFile(file) {
  if (!file) return;
  upload.value = "";
  if (file.size > MAX_UPLOAD) notice.textContent = `${file.name}: more than 1 MB`;
  else begin("upload", { spec: file.name, text: await file.text() }, file.name);
}
upload.addEventListener("change", () => openFile(upload.files[0]));
document.addEventListener("paste", (event) => {
  const isField = event.target.closest?.("input, textarea");
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (!root.offsetParent || isField || !text.trim()) return;
  event.preventDefault();
  begin("upload", { spec: "pasted.yaml", text }, "the pasted text");
});

onLatest("answered", ({ error, isEmpty, name }) => {
  if (!opening) {
    if (isEmpty || (isFirst && addressed("start"))) setAtStart(true);
    isFirst = false;
    if (isEmpty && error) notice.textContent = error;
    return;
  }
  root.classList.remove("opening");
  if (error) {
    notice.textContent = `${opening.label} was not opened. ${error}`;
    notice.scrollIntoView({ block: "nearest" });
  } else {
    remember(name);
    const from = document.activeElement;
    resume();
    openTab("yaml", document.body);
    openTab(opening.tab, from);
  }
  opening = null;
});
on("work", () => setAtStart(false));
on("home", () => {
  setAtStart(true);
  setAddress({ start: "1" }, { isStep: true });
  draw();
  search.focus({ preventScroll: true });
  send("revision");
});
watch("value", () => {
  done();
  if (props.value?.packaged) choices = props.value;
  draw();
});
whenVisible(root, ask);
