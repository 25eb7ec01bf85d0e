// The figures that are always on screen.
const root = element.querySelector(".summary-view");
function draw() {
  root.replaceChildren(...(props.value?.figures ?? []).map((figure) =>
    h("div", { class: "figure" }, h("span", { class: "quiet" }, figure.name),
      h("strong", { title: `${figure.full}, ${figure.exact ? "exact" : "estimated"}` }, figure.short))));
}
watch("value", draw);
draw();
