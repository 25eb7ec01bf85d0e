"""What mutations put in the place of something: values, texts and expressions."""

from __future__ import annotations

import ast
import random
from typing import Any

from archspec.lang.expr.numeric import FUNCTIONS
from archspec.lang.registry import functions, initializers, layers

NUMBERS: list[Any] = [
    *[0, -1, 1, 2, 3, 7, 64, 1000, 10_000, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30],
    *[0.5, -0.5, 1e-12, 1e308, float("inf"), float("-inf"), float("nan")],
]
OTHERS: list[Any] = [None, True, False, 1, 1.5, "", "x", [], {}, [[1]], {"a": 1}, ["x", 2], "null"]
TEXTS = [
    *["'", '"', '"""', "\\", "\\'", "{", "}", "{}", "{i}", "{i + 1}", "{{i}}", "%s", "#", ";"],
    *["__class__", "__init__", "self.__dict__", "$__import__('os')", "{__import__('os').getcwd()}"],
    *[
        "a\nb",
        "\r\n",
        "\t",
        "\0",
        "\x1b[2J",
        "\u2028",
        "\u202e",
        "\ud7ff",
        "ﬁx",
        "ｌｅｎ",
        "К",
        "é",
    ],
    *["x" * 2_000, "a." * 400, "(" * 200, "[" * 60 + "]" * 60, "**." * 300, " ", "a b", "a.b", "-"],
    *["lambda", "None", "self", "forward", "type", "import os", "int", "list[int]", "block"],
    *["**", "!**", "@Linear", "@*", "*.*", "a[0]", "a[-1:]", "a[::0]", "fc", "$", "$$", "$$x", "."],
]
FRAGMENTS = [
    *[
        "0",
        "-1",
        "2**63",
        "10**10",
        "1e308",
        "None",
        "True",
        "'a'",
        "'a' * 9999",
        "()",
        "[]",
        "[1, 2]",
    ],
    *[
        "inf",
        "pi",
        "training",
        "float32",
        "x",
        "x.shape",
        "x.shape[0]",
        "x.ndim",
        "x.dtype",
        "x[0]",
    ],
    *["x[:, -1]", "x[..., None]", "len(x)", "range(9)", "x is None", "not x", "-x", "~x", "x @ x"],
    *["[a for a in x]", "[a + i for i, a in enumerate(x) if a]", "finfo(float16).min"],
    *["x if training else x", "x and x", "x == x", "1 < x < 2", "x in (1, 2)", "(x, x)", "x ** x"],
]
OPERATORS = "+ - * / // % ** @ << >> & | ^ < <= == != and or is in".split()
CALLS = [*functions.names(), *FUNCTIONS, "finfo", "range", "zip", "enumerate"]
LAYERS = [*layers.names(), *layers.CONTAINERS]


def expression(dice: random.Random, names: list[str], depth: int = 0) -> str:
    """An expression, most often right in its syntax, over the names given."""
    if depth > 3 or dice.random() < 0.3:
        return dice.choice([*names, dice.choice(FRAGMENTS)])
    a, b = (expression(dice, names, depth + 1) for _ in range(2))
    match dice.randrange(7):
        case 0 | 1:
            return f"({a} {dice.choice(OPERATORS)} {b})"
        case 2 | 3:
            return f"{dice.choice(CALLS)}({dice.choice(['', a, f'{a}, {b}', f'{a}, dim={b}'])})"
        case 4:
            return f"({a} if {b} else {a})"
        case 5:
            return f"{a}[{dice.choice([b, ':', f'{b}:', '::2', f'{a}, {b}', '-1'])}]"
        case _:
            return f"{a}.{dice.choice(['shape', 'weight', 'dtype', 'ndim', *names])}"


def changed_expression(text: str, dice: random.Random, names: list[str]) -> str:
    """An expression with one of its parts replaced, wrapped or renamed."""
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return expression(dice, names)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.expr)]
    node = dice.choice(nodes)
    part = ast.unparse(node)
    match node:
        case ast.Call(func=ast.Name() as function) if dice.random() < 0.5:
            function.id = dice.choice(CALLS)
            return ast.unparse(tree)
        case ast.Constant() if dice.random() < 0.5:
            new = repr(dice.choice([*NUMBERS, *OTHERS]))
        case ast.Name() if names and dice.random() < 0.5:
            new = dice.choice(names)
        case _:
            wrapped = [
                f"({part})[0]",
                f"-({part})",
                f"({part}, {part})",
                f"relu({part})",
                f"{part}.shape",
            ]
            new = dice.choice([expression(dice, names), *wrapped])
    return ast.unparse(_Replaced(node, new).visit(tree))


class _Replaced(ast.NodeTransformer):
    """Puts a text in the place of one node."""

    def __init__(self, old: ast.AST, text: str) -> None:
        self.old, self.text = old, text

    def visit(self, node: ast.AST) -> Any:
        return ast.Name(self.text) if node is self.old else super().visit(node)


def module(dice: random.Random, sizes: list[Any]) -> dict[str, Any]:
    """A layer with its required arguments and some others, most of them of the right kind."""
    name = dice.choice(LAYERS)
    layer = layers.find(name)
    made: dict[str, Any] = {"type": name}
    for argument in layer.arguments if layer is not None else ():
        if argument.required or dice.random() < 0.2:
            made[argument.name] = _fitting(argument.kinds[0], argument.choices, dice, sizes)
    if name in layers.CONTAINERS:
        made["items"] = [module(dice, sizes) for _ in range(dice.randrange(3))]
    return made


def _fitting(kind: str, choices: tuple[str, ...], dice: random.Random, sizes: list[Any]) -> Any:
    if choices and dice.random() < 0.8:
        return dice.choice(choices)
    match kind:
        case "int":
            return dice.choice([1, 2, 3, 4, *sizes])
        case "ints":
            return [dice.choice([1, 2, 3]) for _ in range(dice.randrange(1, 4))]
        case "float":
            return dice.choice([0.5, 0.0, 1e-5, 1])
        case "bool":
            return dice.choice([True, False])
        case "module" | "layer":
            return {"type": "ReLU"}
        case _:
            return dice.choice(OTHERS)


def fill(dice: random.Random) -> Any:
    """What an ``init`` rule says of one tensor."""
    name = dice.choice([*initializers.INITIALISERS])
    return dice.choice([name, {name: {}}, {name: {"std": dice.choice(NUMBERS)}}])
