"""Mutants: a spec with one to four changes, to its data or to the lines of its text."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml

from tools.fuzz import values
from tools.fuzz.corpus import Origin

Spot = tuple[Any, Any, tuple[Any, ...]]  # the owner, the key or index in it, the whole path
Change = Callable[[Any, Sequence[Origin], random.Random], None]
PLACES = (
    "params",
    "let",
    "inputs",
    "modules",
    "forward",
    "parameters",
    "blocks",
    "init",
    "tie",
    "freeze",
)


def mutant(origin: Origin, pool: Sequence[Origin], dice: random.Random) -> str:
    """The text of a mutant; the same dice give the same one.

    Args:
        origin: what is changed.
        pool: where parts of other specs are taken from.
    """
    if dice.random() < 0.15:
        return changed_lines(origin.text, dice)
    data = copy.deepcopy(origin.data)
    for _ in range(dice.choice([1, 1, 1, 1, 1, 2, 3])):
        dice.choice(CHANGES)(data, pool, dice)
    return dump(data)


def dump(data: Any) -> str:
    """The text of plain data."""
    return yaml.safe_dump(copy.deepcopy(data), sort_keys=False, width=10_000)


def spots(data: Any, path: tuple[Any, ...] = ()) -> Iterator[Spot]:
    """Every value, with what holds it, parents first."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(pairs):
        yield data, key, (*path, key)
        if isinstance(value, dict | list):
            yield from spots(value, (*path, key))


def _spot(data: Any, dice: random.Random, wanted: Callable[[Spot], bool] = bool) -> Spot | None:
    found = [spot for spot in spots(data) if wanted(spot)]
    return dice.choice(found) if found else None


# ----------------------------------------------------------------------------- changes of the data


def _delete(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    if spot := _spot(data, dice):
        del spot[0][spot[1]]


def _duplicate(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    if spot := _spot(data, dice):
        owner, key, _ = spot
        value = copy.deepcopy(owner[key])
        if isinstance(owner, list):
            owner.insert(dice.randrange(len(owner) + 1), value)
        else:
            owner[f"{key}{dice.choice(['2', '_', 'x'])}"] = value


def _rename(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    if (spot := _spot(data, dice, lambda s: isinstance(s[0], dict))) and (
        other := _spot(data, dice)
    ):
        new = dice.choice([str(other[1]), dice.choice(values.TEXTS), dice.choice(PLACES)])
        spot[0][new] = spot[0].pop(spot[1])


def _graft(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    """A subtree of another spec, most often from below the same key."""
    source = dice.choice([data, dice.choice(pool).data])
    if spot := _spot(data, dice):
        alike = dice.random() < 0.8
        donor = _spot(source, dice, lambda s: s[1] == spot[1]) if alike else _spot(source, dice)
        if donor:
            spot[0][spot[1]] = copy.deepcopy(donor[0][donor[1]])


def _retype(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    if spot := _spot(data, dice):
        spot[0][spot[1]] = copy.deepcopy(dice.choice(values.OTHERS))


def _number(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    if spot := _spot(data, dice, lambda s: isinstance(s[0][s[1]], int | float)):
        old = spot[0][spot[1]]
        near = [old + 1, old - 1, old * 2, old * 10] if abs(old) < 10**6 else []
        spot[0][spot[1]] = dice.choice([*near, *values.NUMBERS])


def _text(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    if spot := _spot(data, dice, lambda s: isinstance(s[0][s[1]], str)):
        old, new = spot[0][spot[1]], dice.choice(values.TEXTS)
        at = dice.randrange(len(old) + 1)
        spot[0][spot[1]] = dice.choice([new, old[:at] + new + old[at:]])


def _expression(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    """An expression or a forward step, changed; or a value that becomes an expression."""
    in_forward = dice.random() < 0.6
    spot = _spot(data, dice, lambda s: ("forward" in s[2][:-1]) == in_forward and _is_leaf(s))
    if spot is None:
        return
    owner, key, path = spot
    names = _names(data, path)
    if in_forward:
        owner[key] = values.changed_expression(str(owner[key]), dice, names)
    else:
        owner[key] = f"${values.changed_expression(str(owner[key]).lstrip('$'), dice, names)}"


def _is_leaf(spot: Spot) -> bool:
    return not isinstance(spot[0][spot[1]], dict | list)


def _names(data: Any, path: tuple[Any, ...]) -> list[str]:
    """What can be named at a path: parameters, and what the block declares and computes."""
    block: Any = data
    for key in path[:2]:
        block = block[key]
    owners = [data.get("params"), *(block.get(p) for p in PLACES if isinstance(block, dict))]
    steps = [step for owner in owners if isinstance(owner, list) for step in owner]
    keys = [key for owner in [*owners, *steps] if isinstance(owner, dict) for key in owner]
    return [key for key in keys if isinstance(key, str) and key.isidentifier()] or ["x"]


def _forward(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    """Steps in another order, in a loop, or one more."""
    spot = _spot(data, dice, lambda s: s[1] in ("forward", "do") and isinstance(s[0][s[1]], list))
    if spot is None:
        return
    owner, key, path = spot
    steps, names = owner[key], _names(data, path)
    match dice.randrange(4):
        case 0:
            dice.shuffle(steps)
        case 1:
            count = dice.choice([0, 1, 2, 9, 10_000, 10**9, values.expression(dice, names)])
            owner[key] = [{"for": f"i in range({count})", "do": steps[:-1] or steps}, *steps[-1:]]
        case _:
            step = {dice.choice(names): values.expression(dice, names)}
            steps.insert(dice.randrange(len(steps) + 1), step)


def _grow(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    """Some module or item more often, or with another size."""
    spot = _spot(data, dice, lambda s: isinstance(s[0][s[1]], dict) and "type" in s[0][s[1]])
    if spot:
        module = spot[0][spot[1]]
        key = dice.choice(["repeat", "repeat", *module])
        module[key] = dice.choice([2, 10, 100, 1000, 10_000, *values.NUMBERS])


def _add_module(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    """A layer more, called in a step; or a layer in another's place."""
    blocks = data.get("blocks")
    block = dice.choice([*blocks.values()]) if isinstance(blocks, dict) and blocks else None
    modules = block.get("modules") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(modules, dict):
        return
    sizes = [f"${name}" for name in data.get("params") or () if isinstance(name, str)]
    name = dice.choice(["added", *modules])
    modules[name] = values.module(dice, sizes)
    if name == "added" and isinstance(block.get("forward"), list):
        target = dice.choice(_names(data, ("blocks",)))
        step = {target: f"added({', '.join(dice.choices([target, 'x'], k=dice.randrange(1, 3)))})"}
        block["forward"].insert(dice.randrange(len(block["forward"]) + 1), step)


def _add_rule(data: Any, pool: Sequence[Origin], dice: random.Random) -> None:
    """A rule, a plan, a tie or a raw tensor."""
    pattern = dice.choice(["**", "@Linear", "**.weight", *values.TEXTS])
    path = ".".join(str(spot[1]) for spot in dice.sample([*spots(data)], 2))
    rules: list[tuple[str, Any]] = [
        ("init", [{"match": pattern, "weight": values.fill(dice), "weight[0]": values.fill(dice)}]),
        ("freeze", {"added": [pattern, dice.choice(["!**", "!*.bias", path])]}),
        ("tie", {path: dice.choice([path, "fc.weight"])}),
        ("dims", {"batch": dice.choice(values.NUMBERS), "seq": 2}),
        (
            "checkpoints",
            {"added": {"rename": {pattern: path}, "prefix": dice.choice(values.TEXTS)}},
        ),
    ]
    key, value = dice.choice(rules)
    data[key] = value


CHANGES: list[Change] = [
    *[_delete, _duplicate, _rename, _graft, _graft, _retype, _number, _number, _text, _expression],
    *[_expression, _expression, _forward, _grow, _add_module, _add_module, _add_rule],
]

# ----------------------------------------------------------------------------- changes of the text

MARKS = [
    *[
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object:os.system ",
        "!x ",
        "? ",
        "- ",
        "\t",
        "  ",
        "# ",
        "|",
    ],
    *[
        "---",
        "...",
        "%YAML 1.1",
        "\ufeff",
        "\r",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "'",
        '"',
        ">-",
        "\0",
    ],
]


def changed_lines(text: str, dice: random.Random) -> str:
    """The text with lines removed, repeated, moved, indented, cut or marked."""
    lines = text.split("\n")
    for _ in range(dice.choice([1, 1, 2, 4])):
        at, other = dice.randrange(len(lines)), dice.choice(lines)
        column = dice.randrange(len(lines[at]) + 1)
        head, tail = lines[at][:column], lines[at][column:]
        match dice.randrange(7):
            case 0:
                lines[at : at + 1] = [] if len(lines) > 1 else [""]
            case 1:
                lines.insert(at, other)
            case 2:
                lines[at] = dice.choice([" ", "  ", "    "]) + lines[at]
            case 3:
                lines[at] = lines[at][dice.choice([1, 2]) :]
            case 4:
                lines[at] = head + dice.choice(MARKS) + tail
            case 5:
                lines[at] = head + dice.choice(values.TEXTS) + tail
            case _:
                lines[at] = head + other.strip()
    return "\n".join(lines)
