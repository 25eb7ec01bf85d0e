import assert from "node:assert/strict";
import { test } from "node:test";
import { complete } from "../../../app/archspec_app/assets/completions.js";
import { referenceAt } from "../../../app/archspec_app/assets/references.js";
import { parseTree } from "../../../app/archspec_app/assets/yaml_tree.js";

const argument = (name, kinds, required = true, value = "", choices = []) => ({
  name,
  kinds,
  required,
  choices,
  default: value,
  expects: kinds.join(" or "),
});
const expression = { pattern: "^\\$[^$]" };
const language = {
  schema: {
    Architecture: {
      properties: {
        archspec: {},
        model: { description: "the root" },
        extends: { anyOf: [{ const: "bert" }, {}] },
        params: { additionalProperties: { $ref: "#/definitions/Param" } },
        blocks: { additionalProperties: { $ref: "#/definitions/Block" } },
        init: { items: { $ref: "#/definitions/InitRule" } },
        adapter: {},
        adapters: {},
      },
    },
    Param: { properties: { type: { enum: ["int", "bool", null] }, default: {}, help: {} } },
    Block: {
      properties: {
        inputs: { additionalProperties: {} },
        modules: { additionalProperties: { $ref: "#/definitions/Child" } },
        forward: { items: { $ref: "#/definitions/Step" } },
      },
    },
    Child: { allOf: [{ $ref: "#/definitions/Module" }, { properties: { repeat: false } }] },
    Item: { allOf: [{ $ref: "#/definitions/Module" }, { properties: { repeat: expression } }] },
    Entry: { anyOf: [{ $ref: "#/definitions/Group" }, { $ref: "#/definitions/Item" }] },
    Group: { properties: { repeat: expression, each: {}, in: {}, items: {} } },
    Module: {
      properties: { type: {}, when: { type: ["boolean", "string"], ...expression } },
      allOf: [{ properties: { items: { items: { $ref: "#/definitions/Entry" } } } }],
    },
    InitRule: { properties: { match: {}, weight: { enum: ["zeros_", "ones_"] } } },
    Step: {
      properties: { return: {}, for: {}, do: { items: { $ref: "#/definitions/Step" } } },
      additionalProperties: {},
    },
  },
  layers: {
    Linear: {
      signature: "Linear(in_features, bias=True)",
      help: "Applies an affine map.",
      members: ["weight", "bias"],
      arguments: [argument("in_features", ["int"]), argument("bias", ["bool"], false, "true")],
    },
    Pad: {
      signature: "Pad(mode)",
      help: "Pads.",
      members: [],
      arguments: [argument("mode", ["str"], true, "", ["same", "valid"])],
    },
  },
  functions: { relu: { signature: "relu(input)", help: "Rectifies.", arguments: ["input", "inplace"] } },
  numeric: { sqrt: { signature: "sqrt(x)", help: "The root." } },
  constants: ["float32"],
};
const inherited = {
  model: "Net",
  dims: ["batch"],
  params: {
    depth: {
      type: "int",
      value: "3",
      default: "2",
      min: 1,
      max: null,
      choices: [],
      help: "layers",
      file: "p.yaml",
      line: 4,
    },
  },
  let: {},
  blocks: {
    Old: {
      params: { size: ["int", "p.yaml", 10] },
      inputs: { y: ["[batch]", "p.yaml", 11] },
      modules: {},
      file: "p.yaml",
      line: 9,
    },
  },
};
const HEAD = `archspec: 1
model: Net
params:
  width: {default: 8, help: channels}
  kind: {type: block, default: Cell}
blocks:
  Cell:
    inputs: {x: [batch], mask: {optional: true}}
    modules: {}
  Net:
    inputs: {x: [batch, $width]}
    modules:
      up: {type: Linear, in_features: $width}
      cell: {type: Cell}
`;
const labels = (text) => {
  const offset = text.indexOf("|");
  const found = complete(text.replace("|", ""), offset, { language, inherited });
  return found && { typed: text.slice(found.from, offset), labels: found.options.map(({ label }) => label) };
};

test("options by place, also in the middle of typing", () => {
  const step = (line) => `${HEAD}    forward:\n      - h: up(x)\n      - ${line}`;
  const module = (line) => `${HEAD}      ${line}`;
  // text with a caret, what is typed before it, some options, some that must not be there
  const rows = [
    ["|", "", ["archspec", "model", "blocks"], []],
    [`${HEAD}in|`, "in", ["init", "adapter"], ["model", "params"]],
    ["arch|: 1\n", "arch", ["archspec"], []],
    ["model: |\nblocks:\n  A: {}\n", "", ["A", "Old"], []],
    ["extends: b|", "b", ["bert"], []],
    ["params:\n  a: {|", "", ["type", "default", "help"], []],
    ["params:\n  a: {type: |, default: 1}", "", ["int", "bool"], ["null"]],
    ["params:\n  a: |", "", ["int"], []],
    ["blocks:\n  A:\n    |", "", ["inputs", "modules", "forward"], ["model"]],
    ["blocks:\n  A:\n    modules: {}\n    f|\n\nparams: {}\n", "f", ["forward"], ["modules"]],
    [module("n: {type: |}"), "", ["Linear", "Cell", "Old", "Sequential", "$kind"], ["$width"]],
    [module("n: {type: Li|"), "Li", ["Linear"], []],
    [module("n: {type: Linear, |"), "", ["in_features", "bias", "when"], ["type", "items", "repeat", "each"]],
    [module("n: {type: Linear, bias: |}"), "", ["true", "false", "$width", "$depth"], []],
    [module("n: {type: Linear, bi|: true}"), "bi", ["bias"], []],
    [module("n:\n        type: Pad\n        mode: |\n"), "", ["same", "valid"], []],
    [module("n:\n        type: Pad\n        |\n"), "", ["mode"], ["type"]],
    [module("n: {type: Old, |}"), "", ["size"], []],
    [module('n: {type: Linear, in_features: "$2 * wi|'), "wi", ["width", "depth", "sqrt"], ["relu", "x"]],
    [
      module("n:\n        type: Sequential\n        items:\n          - {type: Linear, |}"),
      "",
      ["repeat", "bias"],
      ["each"],
    ],
    [module("n: {type: Sequential, items: [{|}]}"), "", ["type", "repeat", "each"], []],
    [step("return: |"), "", ["h", "x", "up", "cell", "width", "relu", "float32"], ["y"]],
    [step("return: relu(h, in|"), "in", ["inplace=", "h"], []],
    [step("return: cell(h, |)"), "", ["mask=", "h"], []],
    [step("for: i in up\n        do:\n          - z: i|"), "i", ["i", "h"], ["z"]],
    [step("|"), "", ["return", "for"], []],
    [`${HEAD}init:\n  - {match: |}\n`, "", ["@Linear"], []],
    [`${HEAD}init:\n  - {match: a, weight: |}\n`, "", ["zeros_", "ones_"], []],
    [`${HEAD}adapters: {lo: {}}\nadapter: |`, "", ["lo"], []],
  ];
  for (const [text, typed, some, none] of rows) {
    const found = labels(text);
    const about = `${text.slice(-60)} gives ${JSON.stringify(found)}`;
    assert.equal(found?.typed, typed, about);
    for (const label of some) assert.ok(found.labels.includes(label), `${label}: ${about}`);
    for (const label of none) assert.ok(!found.labels.includes(label), `not ${label}: ${about}`);
    assert.equal(new Set(found.labels).size, found.labels.length, about);
  }
});

const NESTED = `${HEAD}      old: {type: Old}
      layers: {type: ModuleList, items: [{repeat: 2, items: [{type: Cell2}]}]}
      heads: {type: ModuleDict, items: {a: {type: Linear}, b: {type: Cell2}}}
`;
const CELL2 = `  Cell2:
    modules:
      dense: {type: Linear, in_features: 1}
    parameters: {scale: [4]}
    methods: {encode: []}
`;

test("what is behind a dot, in paths and in shapes", () => {
  const step = (line) => `${NESTED}    forward:\n      - h: up(x)\n      - ${line}\n${CELL2}`;
  const plan = (line) => `${NESTED}${CELL2}freeze:\n  most: [${line}]\n`;
  const rows = [
    [step("return: x.|"), "", ["shape", "ndim", "dtype", "device"]],
    [step("return: relu(h.sh|)"), "sh", ["shape", "ndim", "dtype", "device"]],
    [step("return: up.|(h)"), "", ["weight", "bias"]],
    [step("return: layers[0].|"), "", ["dense", "scale", "encode"]],
    [step("return: layers[h.ndim - 1].dense.we|"), "we", ["weight", "bias"]],
    [step("return: heads.|"), "", ["a", "b"]],
    [step("return: heads.b.|"), "", ["dense", "scale", "encode"]],
    [step("return: h + finfo(h.dtype).|"), "", ["min", "max", "eps", "tiny"]],
    [`${step("for: one in layers\n        do:\n          - h: one.|")}`, "", ["dense", "scale", "encode"]],
    [plan("|"), "", ["up", "cell", "old", "layers", "heads"]],
    [plan('"!la|"'), "la", ["up", "cell", "old", "layers", "heads"]],
    [plan('"layers.*.|"'), "", ["dense", "scale"]],
    [plan('"layers[0].dense.|"'), "", ["weight", "bias"]],
    [`${NESTED}${CELL2}init:\n  - {match: heads.|}\n`, "", ["a", "b"]],
  ];
  for (const [text, typed, names] of rows)
    assert.deepEqual(
      labels(text),
      { typed, labels: names },
      text.split("\n").find((line) => line.includes("|")),
    );
  const shape = labels("dims: {seq: 4}\nblocks:\n  A:\n    inputs: {x: [batch, heads], y: [b|]}\n");
  assert.equal(shape.typed, "b");
  for (const name of ["seq", "batch", "heads", "$depth"]) assert.ok(shape.labels.includes(name), name);
  assert.ok(!shape.labels.includes("b"), "what is being typed");
});

test("nothing is offered in comments, in strings of expressions, and behind what is not known", () => {
  for (const text of [
    "model: a # no|",
    "# no|",
    `${HEAD}    forward:\n      - return: einsum("a|b", x)`,
    `${HEAD}    forward:\n      - return: nothing.sh|`,
    `${HEAD}    forward:\n      - return: 1.|`,
    `${HEAD}    forward:\n      - return: relu(x).|`,
    `${HEAD}freeze: {all: ["**.|"]}`,
  ])
    assert.equal(labels(text), null, text);
});

test("a key is written with its colon, unless that is there", () => {
  const applied = (text) => {
    const offset = text.indexOf("|");
    return complete(text.replace("|", ""), offset, { language, inherited }).options[0].apply;
  };
  assert.equal(applied("|"), "archspec: ");
  assert.equal(applied("ar|: 1"), "archspec");
});

const about = (text) => {
  const offset = text.indexOf("|");
  return referenceAt(text.replace("|", ""), offset, { language, inherited });
};
const FULL = `${HEAD}      old: {type: Old, size: $depth}
    forward:
      - h: relu(up(x))
      - return: old(h)
`;

test("what is said of a word, and where it is declared", () => {
  const rows = [
    ["type: Lin|ear", "Linear(in_features, bias=True)", "Applies an affine map.", null],
    ["in_feat|ures: $width", "in_features: int", "required", null],
    ["in_features: $wi|dth", "width: {default: 8, help: channels}", "parameter", "width: {def"],
    ["type: Ol|d,", "Old(size)", "block", { file: "p.yaml", line: 9 }],
    ["size: $de|pth", "depth: int", "value 3, default 2, at least 1", { file: "p.yaml", line: 4 }],
    ["si|ze: $depth", "size: int", "of Old", { file: "p.yaml", line: 10 }],
    ["- h: re|lu(up", "relu(input)", "Rectifies.", null],
    ["relu(u|p(x", "up: Linear", "child", "up: {type: "],
    ["up(|x))", "x: [batch, $width]", "input", "x: [batch, "],
    ["old(|h)", "h: relu(up(x))", "step", "h: relu(up("],
    ["model: N|et", "Net()", "block", "Net:\n    in"],
    ["type: Ce|ll}", "Cell()", "block", "Cell:\n    i"],
    ["mo|del: Net", "model", "the root", null],
  ];
  for (const [where, title, line, target] of rows) {
    assert.equal(FULL.split(where.replace("|", "")).length, 2, where);
    const found = about(FULL.replace(where.replace("|", ""), () => where));
    assert.equal(found?.title, title, where);
    assert.equal(found.lines[0], line, where);
    if (typeof target === "string") assert.equal(FULL.slice(found.target.at).slice(0, target.length), target, where);
    else assert.deepEqual(found.target && { file: found.target.file, line: found.target.line }, target, where);
  }
  assert.equal(about("extends: be|rt").target.file, "bert");
  for (const text of ["a: 1 # mo|del", "description: mo|del", "dims: {ba|tch: 1}"])
    assert.equal(about(text), null, text);
});

test("every beginning of a text is a tree, at once", () => {
  const start = performance.now();
  const long = FULL.repeat(5);
  for (let end = 0; end <= FULL.length; end += 1) {
    const tree = parseTree(FULL.slice(0, end));
    assert.equal(tree.kind, "map");
    complete(FULL.slice(0, end), end, { language, inherited });
    referenceAt(FULL.slice(0, end) + long, end, { language, inherited });
  }
  parseTree(`${"{a: [".repeat(20000)}`);
  parseTree(`${"a: '".repeat(20000)}\n${"- ".repeat(20000)}`);
  assert.ok(performance.now() - start < 20000);
});
