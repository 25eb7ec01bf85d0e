// The figures that are always on screen.
import { h } from "./dom.js";

const root = element.querySelector(".summary-view");

function draw() {
  const figures = props.value?.figures ?? [];
  root.replaceChildren(
    ...figures.map(({ name, short, full, exact, note }) => {
      const title = `${full}, ${exact ? "exact" : "estimated"}`;
      return h("div.figure", h("span.quiet", name, note ? `, ${note}` : ""), h("strong", { title }, short));
    }),
  );
}
watch("value", draw);
draw();
