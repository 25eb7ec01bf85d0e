// The figures that are always on screen.
import { h } from "./dom.js";

const root = element.querySelector(".summary-view");

function draw() {
  const figures = props.value?.figures ?? [];
  root.replaceChildren(
    ...figures.map(({ name, short, full, exact }) => {
      const title = `${full}, ${exact ? "exact" : "estimated"}`;
      return h("div.figure", h("span.quiet", name), h("strong", { title }, short));
    }),
  );
}
watch("value", draw);
draw();
