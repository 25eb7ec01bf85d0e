// The canvas of a file of its own, in the colors that the reader prefers.
import { mountCanvas } from "./canvas.js";

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const setColors = () => document.body.classList.toggle("dark", prefersDark.matches);
prefersDark.addEventListener("change", setColors);
setColors();
const canvas = mountCanvas(document.getElementById("canvas"));
canvas.show(JSON.parse(document.getElementById("canvas-data").textContent));
