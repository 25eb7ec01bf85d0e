// The tabs, by the names that the page gives them; the address has those that are chosen.
import { addressed, setAddress } from "./address.js";
import { nameOfTab, tabButton, watchTabs } from "./framework.js";

const TABS = { tabs: "tab", "spec-tabs": "side" };
const FIRST = { tab: "tree", side: "yaml" };

// On a phone, where the spec would fill the screen, it is closed until it is asked for: see states.css.
const isSpecOpen = () => document.body.classList.contains("spec-open");
export const showSpec = (isShown = true) => document.body.classList.toggle("spec-open", isShown);
export const toggleSpec = () => showSpec(!isSpecOpen());
export function onSpecToggled(act) {
  new MutationObserver(() => act(isSpecOpen())).observe(document.body, { attributeFilter: ["class"] });
}

// `from` had the focus: if it is hidden now, the tab has it.
export function openTab(name, from = document.activeElement) {
  if (["yaml", "parameters"].includes(name)) showSpec();
  const tab = tabButton(name);
  tab?.click();
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const isLost = from !== document.body && !from?.checkVisibility();
      if (isLost && [from, document.body].includes(document.activeElement)) tab?.focus({ preventScroll: true });
    }),
  );
}

let isRestoring = false;

// The Tab key reaches the one that is open; arrow keys lead along them.
function keepOneStop(tabs) {
  const open = tabs.find((tab) => tab.getAttribute("aria-selected") === "true");
  for (const tab of tabs) tab.tabIndex = !open || tab === open ? 0 : -1;
}

export function bindTabs() {
  for (const id of Object.keys(TABS)) watchTabs(id, keepOneStop);
  document.addEventListener("click", ({ target }) => {
    const tab = target.closest?.('[role="tab"]');
    const key = TABS[tab?.closest("#tabs, #spec-tabs")?.id];
    if (!key || isRestoring) return;
    const name = nameOfTab(tab);
    if (key === "tab") showSpec(false);
    setAddress({ [key]: name === FIRST[key] ? "" : name }, { isStep: key === "tab" });
  });
}
export function restoreTabs() {
  isRestoring = true;
  for (const key of Object.values(TABS)) {
    const tab = tabButton(addressed(key) || FIRST[key]);
    if (tab?.getAttribute("aria-selected") === "false") tab.click();
  }
  isRestoring = false;
}
