"""Specs and models as text for people: trees as PyTorch prints them, tables by rich."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from archspec.lang.instances import Instance, walk
from archspec.lang.params import Resolved
from archspec.lang.schema import Checkpoint, Config, Contract, FreezePlan
from archspec.lang.spec import Spec
from archspec.report.display import styled_text
from archspec.report.text import printable, printable_lines

_LONGEST = 60  # characters of one value; --json has all of them


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Rows in columns, the third and later ones dim, without the last line break.

    Args:
        rows: cells; lines within a cell stay lines.
        width: columns of the terminal; nothing is wrapped without it.
    """
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for i in range(max(map(len, rows), default=0)):
        grid.add_column(style="dim" if i > 1 else "", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable_lines(cell)) for cell in row))
    return styled_text(grid, width)


# ------------------------------------------------------------------------------------------ trees


def tree(root: Instance) -> str:
    """The module tree of a spec as PyTorch would print it, with the arguments that were given.

    Equal neighbours in a container are folded: ``(0-11): 12 x BertLayer(``.
    """
    return "\n".join(_lines(root, "", 0, _Kinds()))


class _Kinds:
    """Numbers modules such that equal trees have equal numbers."""

    def __init__(self) -> None:
        self._of: dict[int, int] = {}
        self._numbers: dict[tuple[object, ...], int] = {}

    def number(self, instance: Instance) -> int:
        if id(instance) not in self._of:
            children = tuple((name, self.number(child)) for name, child in instance.children)
            key = (instance.type, arguments(instance), children)
            self._of[id(instance)] = self._numbers.setdefault(key, len(self._numbers))
        return self._of[id(instance)]


def _lines(instance: Instance, label: str, depth: int, kinds: _Kinds) -> Iterator[str]:
    indent = "  " * depth
    given = printable(arguments(instance, _LONGEST))
    if not instance.children:
        yield f"{indent}{label}{instance.type}({given})"
        return
    yield f"{indent}{label}{instance.type}("
    if given:
        yield f"{indent}  {given}"
    for name, child in _folded(instance.children, kinds):
        yield from _lines(child, printable(name), depth + 1, kinds)
    yield f"{indent})"


def _folded(
    children: Sequence[tuple[str, Instance]], kinds: _Kinds
) -> Iterator[tuple[str, Instance]]:
    """Label and module of each child, numbered equal neighbours as one."""
    i = 0
    while i < len(children):
        name, child = children[i]
        end = i + 1
        while (
            end < len(children)
            and name.isdecimal()
            and children[end][0] == str(int(name) + end - i)
            and kinds.number(children[end][1]) == kinds.number(child)
        ):
            end += 1
        last, times = children[end - 1][0], end - i
        yield (f"({name}-{last}): {times} x " if times > 1 else f"({name}): "), child
        i = end


def arguments(instance: Instance, longest: int | None = None) -> str:
    """``in_features=768, out_features=2``: an instance's arguments as Python writes them.

    Args:
        longest: characters of one value; the rest is left out.
    """
    given = instance.arguments.items()
    return ", ".join(f"{name}={_shortened(_python(value), longest)}" for name, value in given)


def _python(value: object) -> str:
    return f"{value.type}({arguments(value)})" if isinstance(value, Instance) else repr(value)


def _shortened(text: str, longest: int | None = _LONGEST) -> str:
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"


# ------------------------------------------------------------------------------------------ specs


def sections(spec: Spec, width: int | None = None) -> dict[str, str]:
    """What a resolved spec says: title → text, without the sections that it does not have."""
    architecture = spec.architecture
    task = architecture.task.model_dump(exclude_none=True) if architecture.task else {}
    found = {
        "Params": _params(spec),
        "Dims, when inspected": [(name, str(size)) for name, size in architecture.dims.items()],
        "Blocks": _blocks(spec),
        f"Modules, {spec.root.modules:,}": tree(spec.root),
        "Freeze plans": [(name, plan(found)) for name, found in architecture.freeze.items()],
        "Checkpoint layouts": [
            (name, _layout(layout)) for name, layout in architecture.checkpoints.items()
        ],
        "Config files": _config(architecture.config) if architecture.config else [],
        "Task": _flat(task),
    }
    inner = width and max(width - 2, 20)
    return {
        title: textwrap.indent(part if isinstance(part, str) else table(part, inner), "  ")
        for title, part in found.items()
        if part
    }


def _params(spec: Spec) -> list[tuple[str, ...]]:
    return [
        (name, _shortened(_yaml(found.value)), found.type, _origin(found))
        for name, found in spec.params.items()
    ]


def _origin(found: Resolved) -> str:
    return f"{found.place.file}:{found.place.line}" if found.place else found.origin


def _yaml(value: object) -> str:
    """A value as specs and ``-p`` write it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_yaml, cast('Sequence[object]', value)))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _blocks(spec: Spec) -> list[tuple[str, str]]:
    """How often each block occurs and where it stands; what it takes and returns."""
    instances = Counter(instance.type for _, instance in walk(spec.root))
    rows: list[tuple[str, str]] = []
    for name, block in spec.architecture.blocks.items():
        place = spec.document.place(("blocks", name), key=True)
        takes = [_contract(*item) for item in block.inputs.items()]
        returns = [f"→ {_contract(*item)}" for item in block.outputs.items()]
        head = f"{name} × {instances[name]:,}\n{place.file}:{place.line}"
        rows.append((head, "\n".join(takes + returns)))
    return rows


def _contract(name: str, contract: Contract) -> str:
    shape = ", ".join(str(size).removeprefix("$") for size in contract.shape)
    dtype = f" {contract.dtype}" if contract.dtype else ""
    by_name = ", by name" if contract.keyword else ""
    return f"{name}{'?' if contract.optional else ''} [{shape}]{dtype}{by_name}"


def plan(found: FreezePlan) -> str:
    """A freeze plan's patterns, and its switches where they are not the usual ones."""
    moving = {
        "gradients flow": not found.gradients,
        "statistics move": not found.statistics,
        "dropout is on": not found.dropout,
    }
    notes = [note for note, holds in moving.items() if holds]
    return "  ".join([*found.patterns, *(f"({note})" for note in notes)]) or "(nothing)"


def _layout(layout: Checkpoint) -> str:
    lines = [f"{ours} → {foreign}" for ours, foreign in layout.rename.items()]
    for kind, joins in (("split", layout.split), ("stack", layout.stack)):
        lines += [f"{', '.join(j.ours)} → {', '.join(j.theirs)} ({kind}, {j.dim})" for j in joins]
    lines += [f"transposes {pattern}" for pattern in layout.transpose]
    lines += [f"prefix {layout.prefix}"] if layout.prefix else []
    lines += [f"ignores {pattern}" for pattern in layout.ignore]
    lines += [f"may lack {pattern}" for pattern in layout.optional]
    return "\n".join(lines) or "(our own names)"


def _config(config: Config) -> list[tuple[str, str]]:
    """How a file such as config.json sets the parameters."""
    rows = [("model_type", config.model_type)] if config.model_type else []
    rows += [(name, f"read from {', '.join(keys)}") for name, keys in config.read.items()]
    rows += [(key, f"must be {_allowed(value)}") for key, value in config.require.items()]
    rows += [(key, f"left out, is {_yaml(value)}") for key, value in config.defaults.items()]
    return rows + ([("ignored", ", ".join(config.ignore))] if config.ignore else [])


def _allowed(value: Any) -> str:
    return " or ".join(map(_yaml, cast("list[Any]", value) if isinstance(value, list) else [value]))


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            rows.append((prefix + key, _shortened(_yaml(value))))
    return rows


# ----------------------------------------------------------------------------------------- models


def counts(facts: Mapping[str, Any], width: int | None = None) -> str:
    """The exact figures of a built module (``documents.of_model``), with their units."""
    rows = {
        "parameters": f"{facts['parameters']:,}",
        "trainable": f"{facts['trainable']:,} parameters",
        "buffers": f"{facts['buffer_elements']:,} elements",
        "size": f"{facts['bytes']:,} bytes",
        "device": facts["device"] or "none: there are no tensors",
        "dtype": facts["dtype"] or "none: there are no floating-point tensors",
        "built in": f"{facts['seconds']:.2f} s",
    }
    return table(list(rows.items()), width)
