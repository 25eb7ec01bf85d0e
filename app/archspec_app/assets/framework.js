// All that the page's scripts take for granted of Gradio, beside `element`, `props`, `trigger` and `watch`, which it
// documents: its address, its tabs, and a request that it answers at once. `framework.py` is the same for Python,
// and `framework.css` for its markup.

// A script of ours that the server has beside Gradio's files.
export const loadScript = (name) => import(`${window.gradio_config?.root ?? "."}/archspec/${name}`);

export async function loadData(name) {
  const answer = await fetch(`${window.gradio_config?.root ?? "."}/archspec/${name}`);
  return answer.json();
}

export const askServer = () => fetch("gradio_api/app_id", { cache: "no-store" });

export const tabButton = (name) => document.querySelector(`[role="tab"][data-tab-id="${CSS.escape(name)}"]`);
export const nameOfTab = (button) => button.dataset.tabId;

/** Calls `act` with the tabs of a group, now and whenever one is chosen or drawn anew. */
export function watchTabs(id, act) {
  const changes = { subtree: true, childList: true, attributeFilter: ["aria-selected"] };
  const isWatched = () => {
    const strip = document.querySelector(`#${id} > .tab-wrapper`);
    if (!strip) return false;
    const tell = () => act([...strip.querySelectorAll('[role="tab"]')]);
    new MutationObserver(tell).observe(strip, changes);
    tell();
    return true;
  };
  if (isWatched()) return;
  // Gradio draws the tabs after the page's scripts have begun, if the machine is slow.
  const drawn = new MutationObserver(() => isWatched() && drawn.disconnect());
  drawn.observe(document.body, { subtree: true, childList: true });
}
