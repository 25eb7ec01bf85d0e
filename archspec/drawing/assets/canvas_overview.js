// The small picture of the whole canvas, with a frame around what is to be seen.
import { boxesOf } from "./canvas_layout.js";
import { make } from "./elements.js";

const LARGEST = 170;
const drawn = new WeakMap(); // picture → the layout that it shows

export function drawOverview(picture, layout, transform, size) {
  const scale = LARGEST / Math.max(layout.width, layout.height);
  if (drawn.get(picture) !== layout) {
    drawn.set(picture, layout);
    const at = { width: layout.width * scale, height: layout.height * scale };
    for (const [name, value] of Object.entries({ ...at, viewBox: `0 0 ${layout.width} ${layout.height}` }))
      picture.setAttribute(name, value);
    const rects = [...boxesOf(layout)].map(({ box, x, y, depth }) =>
      make(`rect.${box.inner ? "around" : "leaf"}`, { x, y, width: box.width, height: box.height, rx: depth ? 4 : 0 }),
    );
    picture.replaceChildren(...rects, make("rect.seen"));
  }
  const seen = picture.querySelector(".seen");
  const [left, top] = transform.invert([0, 0]);
  const at = { x: left, y: top, width: size.width / transform.k, height: size.height / transform.k };
  const [right, down] = [left + at.width, top + at.height];
  const isAllSeen = left <= 0 && top <= 0 && right >= layout.width && down >= layout.height;
  picture.classList.toggle("needless", isAllSeen);
  for (const [name, value] of Object.entries(at)) seen.setAttribute(name, value);
  seen.setAttribute("stroke-width", 1.5 / scale);
}
