// A dialog in which a file or folder is chosen, of those below the page's folder.
import { button, h } from "./dom.js";
import { formatExact, formatSize } from "./numbers.js";

const MAX_SUGGESTED = 6;
const TYPING = 250; // ms without another key

// `title` says what is chosen, `folder` where to begin; `ask(folder, search)` asks for entries, which `show` is given.
// `choose` is called with the path of what was chosen. `offer`: a label, a text, and what a click on it does.
export function openPicker({ title, folder, suggestions, offer, ask, choose }) {
  let place = folder;
  let isSearching = false; // the keyboard is in the search
  let timer = null;
  const path = h("nav.picker-path", { "aria-label": "Folder" });
  const search = h("input", { type: "search", placeholder: "Search this folder", "aria-label": "Search this folder" });
  const list = h("ul.picker-list.wide", { "aria-label": "Files and folders" });
  const status = h("p.quiet", { role: "status" });
  const useFolder = button("Use this folder", () => finish(place), { hidden: true });
  const near = suggestions.slice(0, MAX_SUGGESTED).map((name) => button(name, () => finish(name), { class: "chip" }));
  const dialog = h(
    "dialog.picker.dialog-view",
    { "aria-label": title },
    h("h3", title),
    near.length ? h("p.picker-near", h("span.quiet", "Found here: "), near) : "",
    offer
      ? h(
          "p.picker-near",
          button(offer.label, () => finish(null, offer.act)),
          h("small.quiet", offer.about),
        )
      : "",
    path,
    search,
    list,
    status,
    h(
      "p.bar",
      useFolder,
      button("Cancel", () => dialog.close()),
    ),
  );

  function finish(name, act = choose) {
    dialog.close();
    act(name);
  }
  function enter(name) {
    place = name;
    search.value = "";
    isSearching = false;
    request();
  }
  function request() {
    status.textContent = "Reading …";
    ask(place, search.value.trim());
  }
  const within = (name) => (place ? `${place}/${name}` : name);
  const parent = () => place.split("/").slice(0, -1).join("/");

  function drawPath() {
    const parts = place ? place.split("/") : [];
    const steps = parts.map((part, i) => [part, parts.slice(0, i + 1).join("/")]);
    const links = [["This page's folder", ""], ...steps].map(([label, name]) => [
      name ? h("span.quiet", " / ") : "",
      name === place ? h("strong", label) : button(label, () => enter(name), { class: "link" }),
    ]);
    path.replaceChildren(...links.flat().filter(Boolean));
  }

  function item({ name, is_folder: isFolder, suits, bytes, about, problem }, takesFolders) {
    const details = problem || (isFolder ? about : formatSize(bytes));
    const act = isFolder ? () => enter(within(name)) : () => finish(within(name));
    const attributes = { class: `entry ${suits ? "suits" : ""}`, disabled: Boolean(problem) };
    const label = [h("span", isFolder ? `${name}/` : name), h("small.quiet", details)];
    const open = button(label, act, { ...attributes, "data-folder": isFolder });
    const use = button("Use", () => finish(within(name)), { "aria-label": `Use the folder ${name}` });
    return h("li", open, isFolder && (suits || takesFolders) ? use : "");
  }

  function show({
    folder: shown,
    entries,
    omitted,
    is_cut: isCut,
    can_be_chosen: canBeChosen,
    takes_folders: takesFolders,
    error,
  }) {
    if (shown !== place || !dialog.open) return; // of a folder that was left since
    drawPath();
    list.replaceChildren(...entries.map((entry) => item(entry, takesFolders)));
    useFolder.hidden = !canBeChosen;
    const rest =
      omitted || isCut ? `; ${omitted ? formatExact(omitted) : "many"} more: search for a part of the name` : "";
    status.textContent = error ?? (entries.length ? `${formatExact(entries.length)} entries${rest}` : "nothing here");
    if (!isSearching) (list.querySelector(".entry:not(:disabled)") ?? search).focus();
  }

  function move(step) {
    const items = [...list.querySelectorAll(".entry:not(:disabled)")];
    const here = items.indexOf(document.activeElement.closest("li")?.querySelector(".entry"));
    const next = here + step;
    if (next < 0) search.focus();
    else items[Math.min(next, items.length - 1)]?.focus();
  }
  dialog.addEventListener("keydown", (event) => {
    const isInSearch = event.target === search;
    const keys = {
      ArrowDown: () => move(1),
      ArrowUp: () => move(-1),
      ArrowRight: isInSearch ? null : () => event.target.matches("[data-folder]") && event.target.click(),
      ArrowLeft: isInSearch || !place ? null : () => enter(parent()),
      Backspace: isInSearch || !place ? null : () => enter(parent()),
    };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act();
  });
  search.addEventListener("input", () => {
    isSearching = true;
    clearTimeout(timer);
    timer = setTimeout(request, TYPING);
  });
  dialog.addEventListener("close", () => {
    clearTimeout(timer);
    dialog.remove();
  });
  document.body.append(dialog);
  drawPath();
  dialog.showModal();
  request();
  return show;
}
