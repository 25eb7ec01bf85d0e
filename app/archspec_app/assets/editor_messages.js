// What the server sends to the editor, which may not be loaded yet: kept until it takes them.
import { send } from "./page.js";

function receive() {
  if (props.value?.revision === undefined) return;
  (window.archspecEditorMessages ??= []).push(props.value);
  send("editor-message");
}
watch("value", receive);
receive();
