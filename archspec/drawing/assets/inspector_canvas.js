// The canvas of the inspector's page, which loads this script when it is first wanted.
import { mountCanvas } from "./canvas.js";

globalThis.archspecMountCanvas = mountCanvas;
