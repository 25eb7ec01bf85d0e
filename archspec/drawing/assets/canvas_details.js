// What is known of the selected box, arrow, or of the model.
import { figureOf, unitText } from "./canvas_model.js";
import { changeText, countText, removedFrom } from "./canvas_changes.js";
import { make, makeButton } from "./elements.js";
import { formatExact, formatOperations, formatPercent, formatSize } from "./numbers.js";

const MAX_LINES = 8;

const row = (name, ...value) => [make("dt", {}, name), make("dd", {}, ...value)];
const product = (shape) => shape.reduce((a, b) => a * b, 1);
const share = (value, total) => (value && value !== total ? ` · ${formatPercent(value / total)} of the model` : "");

export function describeModel(data) {
  const sizes = Object.entries(data.dims).map(([name, size]) => `${name} = ${formatExact(size)}`);
  const plan = Array.isArray(data.freeze) ? data.freeze.join(" ") : (data.freeze ?? "nothing frozen");
  return [
    make("h3", {}, data.spec),
    make(
      "dl",
      {},
      row("Sizes", sizes.join(", ") || "–"),
      row("Freeze plan", plan),
      data.without.length > 0 && row("Without the inputs", data.without.join(", ")),
      data.changes && row(`Compared with ${data.changes.against}`, countText(data.changes)),
      figures(data, data.root, (name) => data.root[name] ?? 0),
    ),
    make(
      "p.canvas-hint",
      {},
      "Open a block with +, a double click or Enter. Drag to move, scroll to zoom, / to search. ",
      "Click an arrow for its tensor.",
    ),
  ];
}

function figures(data, node, valueOf) {
  const parameters = valueOf("parameters");
  const trainable = valueOf("trainable");
  const partly = trainable ? `, ${formatExact(trainable)} trainable` : ", frozen";
  const frozen = trainable < parameters ? partly : "";
  const activations = valueOf("activations");
  return [
    row("Parameters", formatExact(parameters), share(parameters, data.root.parameters), frozen),
    row("MACs", formatOperations(valueOf("macs")), share(valueOf("macs"), data.root.macs)),
    row(
      "Activations saved for backward",
      activations ? `≈ ${formatSize(activations)}, ${data.precision}` : "none",
      share(activations, data.root.activations),
    ),
  ];
}

// What another spec has otherwise in the modules of a box.
function differences(changes, modules) {
  const texts = modules.map((path) => [path, changeText(changes, path)]).filter(([, text]) => text);
  const gone = modules.flatMap((path) => removedFrom(changes, path));
  const isOne = modules.length === 1;
  const lines = texts.slice(0, MAX_LINES).map(([path, text]) => make("div", {}, isOne ? text : `${path}: ${text}`));
  const former = gone.slice(0, MAX_LINES).map(([path, type, count]) => {
    const more = count > 1 ? `, ${formatExact(count)} modules` : "";
    return make("div", {}, make("code", {}, path || "the whole model"), ` ${type}${more}`);
  });
  const rest = (list) => list.length > MAX_LINES && make("div", {}, `and ${formatExact(list.length - MAX_LINES)} more`);
  return [
    row(`Compared with ${changes.against}`, lines.length ? lines : "the same by itself", rest(texts)),
    former.length > 0 && row("Removed from here", former, rest(gone)),
  ];
}

export function describeBox(data, { box, path, modules }, onPlace) {
  const { node, unit, flow } = box;
  const isModule = node.kind === "module" && unit.kind !== "steps";
  const text = unitText(flow, unit);
  const names = { operation: node.type ?? node.name, tensor: node.type, module: text.type || node.type };
  const title = unit.kind === "steps" ? text.type : (names[node.kind] ?? node.kind);
  const [file, line] = unit.kind === "steps" ? [] : (node.place ?? []);
  const notes = (unit.kind === "one" && data.flows[node.flow]?.notes) || [];
  return [
    make("h3", {}, text.name, title && title !== text.name ? make("span", {}, ` ${title}`) : ""),
    make(
      "dl",
      {},
      path && row("Path", make("code", {}, path)),
      node.kind === "tensor" && row("Path", make("code", {}, node.path)),
      node.text && unit.kind !== "steps" && row(isModule ? "Arguments" : "Call", make("code", {}, node.text)),
      isModule && figures(data, node, (name) => figureOf(flow, unit, name)),
      node.kind === "tensor" &&
        node.parameters > 0 &&
        row("Parameters", formatExact(node.parameters), ` · ${node.state}`),
      isModule && node.calls > 1 && row("Called", `${formatExact(node.calls)} ×, figures of all calls`),
      node.shared && row("Shared", "some of its parameters are another module's"),
      isModule && shapes("Takes", node.inputs, node.input_names),
      isModule && shapes("Gives", node.outputs, node.names),
      line && row("Step", place(data.files[file], line, onPlace)),
      data.changes && isModule && differences(data.changes, modules),
    ),
    ...notes.map((note) => make("p.canvas-hint", {}, note)),
  ];
}

function place(file, line, onPlace) {
  const text = `${file.split(/[\\/]/).at(-1)}:${line}`;
  return onPlace ? makeButton(text, `Go to line ${line} of ${file}`, () => onPlace(file, line)) : text;
}

function shapes(name, sizes, texts) {
  if (!sizes) return "";
  return row(
    name,
    sizes.slice(0, 8).map((shape, i) => make("div", {}, tensorText(shape, texts[i]))),
    sizes.length > 8 && make("div", {}, `and ${sizes.length - 8} more`),
  );
}

function tensorText(shape, text) {
  const numbers = `[${shape.join(", ")}]`;
  return [make("code", {}, text), text === numbers ? "" : [" = ", make("code", {}, numbers)]];
}

export function describeArrow(data, arrow) {
  const { source, target, flow, edges } = arrow;
  const tensors = [
    ...new Map(edges.map((edge) => [JSON.stringify([edge.shape, edge.output, edge.argument]), edge])).values(),
  ];
  return [
    make("h3", {}, tensors.length > 1 ? `${formatExact(tensors.length)} tensors` : "Tensor"),
    make("dl", {}, row("From", unitText(flow, source).name), row("To", unitText(flow, target).name)),
    ...tensors
      .slice(0, 8)
      .map((edge) =>
        make(
          "dl",
          {},
          row("Shape", tensorText(edge.shape, edge.text)),
          row("Elements", formatExact(product(edge.shape))),
          edge.output > 0 && row("Result", `number ${edge.output + 1} of the step`),
          edge.argument && row("Taken as", make("code", {}, edge.argument)),
        ),
      ),
    tensors.length > 8 ? make("p.canvas-hint", {}, `and ${formatExact(tensors.length - 8)} more`) : "",
  ];
}
