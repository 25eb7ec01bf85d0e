// The open spec as all views know it: whether it has unsaved changes, and the question before these are left.
import { button, h } from "./dom.js";
import { on } from "./page.js";

export const MAX_UPLOAD = 1000000;
// What the toolbar was told last; `isModified` also counts what has been typed since.
export const unsaved = (window.archspecUnsaved ??= { name: "", isEmpty: true, isModified: () => false, save: null });

export const setAtStart = (isStart) => {
  document.body.classList.toggle("at-start", isStart);
  window.scrollTo(0, 0);
};

// Shows what is wrong at the control that asked for it; returns whether it could be shown there.
export function showAtControl(control, message) {
  for (const node of document.querySelectorAll(".control-error")) node.remove();
  for (const node of document.querySelectorAll("[data-wrong]")) {
    node.removeAttribute("aria-invalid");
    delete node.dataset.wrong;
  }
  if (!message || !control?.checkVisibility()) return false;
  control.setAttribute("aria-invalid", "true");
  control.dataset.wrong = "";
  (control.closest(".group, .bar") ?? control).after(h("p.control-error", { role: "alert" }, message));
  return true;
}

let question = null;
// The view has changed under the question: it is asked anew, if at all.
export function withdrawQuestion() {
  question?.remove();
  question = null;
}

// Acts at once if nothing is lost, otherwise when the visitor has chosen to go on.
export function leave(act, cancel = () => {}) {
  if (!unsaved.isModified()) {
    act();
    return;
  }
  withdrawQuestion();
  const finish = (next) => {
    withdrawQuestion();
    next();
  };
  const saveFirst = () => {
    on("answered", ({ error }) => (error ? cancel() : act()), { once: true });
    unsaved.save();
  };
  question = h(
    "dialog.dialog-view",
    { "aria-label": "Unsaved changes" },
    h("p", h("strong", unsaved.name), " has changes that are not saved."),
    h(
      "p.bar",
      button("Save and go on", () => finish(saveFirst), { class: "primary" }),
      button("Go on without saving", () => finish(act)),
      button("Cancel", () => finish(cancel)),
    ),
  );
  question.addEventListener("cancel", () => finish(cancel));
  document.body.append(question);
  question.showModal();
}
