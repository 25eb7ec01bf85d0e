// Which runs are under way, for the toolbar. Event: "poll"
import { on, onLatest, oneAtATime, send } from "./page.js";

const INTERVAL = 4000;
let isActive = false;
const { ask, done } = oneAtATime(() => trigger("poll", {}));

onLatest("revision", ask);
on("active-runs", (rows) => {
  isActive = rows.length > 0;
});
const timer = setInterval(() => {
  if (!document.body.contains(element)) clearInterval(timer);
  else if (isActive && !document.hidden) ask();
}, INTERVAL);
watch("value", () => {
  done();
  if (props.value?.active) send("active-runs", props.value.active);
});
