// A line that says what a tab is for; it stays away once it has been closed.
import { button } from "./dom.js";

const root = element.querySelector(".hint-view");
const key = `archspec-hint-${root.textContent.slice(0, 24)}`;
const close = () => {
  localStorage.setItem(key, "closed");
  root.remove();
};
if (localStorage.getItem(key)) root.remove();
else root.append(button("×", close, { "aria-label": "Close this hint" }));
