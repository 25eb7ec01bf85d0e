"""Specs and models as text on a terminal: trees as PyTorch prints them, tables by rich."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from archspec.lang.instances import Instance, argument_texts, format_arguments, walk
from archspec.lang.params import Resolved
from archspec.lang.schema import Checkpoint, Config, Contract, FreezePlan
from archspec.lang.spec import Spec
from archspec.report.folding import fold_neighbours
from archspec.report.subtrees import SubtreeNumbers
from archspec.report.tables import format_rows
from archspec.report.text import printable, shortened

_MAX_VALUE = 60  # characters of one value; --json has all of them


# ------------------------------------------------------------------------------------------ trees


def format_tree(root: Instance) -> str:
    """The module tree of a spec as PyTorch would print it, with the arguments of each module.

    Equal neighbours in a container are folded: ``(0-11): 12 x BertLayer(``.
    """
    numbers = SubtreeNumbers[Instance](
        lambda instance: (instance.type, format_arguments(argument_texts(instance))),
        lambda instance: instance.children,
    )
    return "\n".join(_lines(root, "", 0, numbers))


def _lines(
    instance: Instance, label: str, depth: int, numbers: SubtreeNumbers[Instance]
) -> Iterator[str]:
    indent = "  " * depth
    arguments = printable(format_arguments(argument_texts(instance), _MAX_VALUE))
    if not instance.children:
        yield f"{indent}{label}{instance.type}({arguments})"
        return
    yield f"{indent}{label}{instance.type}("
    if arguments:
        yield f"{indent}  {arguments}"
    groups = fold_neighbours(
        instance.children, lambda child: child[0], lambda child: numbers.number(child[1])
    )
    for name, group in groups:
        name = name if len(group) > 1 else f"({name})"
        times = f"{len(group)} x " if len(group) > 1 else ""
        yield from _lines(group[0][1], f"{printable(name)}: {times}", depth + 1, numbers)
    yield f"{indent})"


# ------------------------------------------------------------------------------------------ specs


def format_sections(spec: Spec, width: int | None = None) -> dict[str, str]:
    """What a resolved spec says: title → text, without the sections that it does not have."""
    architecture = spec.architecture
    task = architecture.task.model_dump(exclude_none=True) if architecture.task else {}
    parts = {
        "Params": _params(spec),
        "Local values": _let(spec),
        "Dims, when inspected": [(name, str(size)) for name, size in architecture.dims.items()],
        "Blocks": _blocks(spec),
        f"Modules, {spec.root.modules:,}": format_tree(spec.root),
        "Freeze plans": [(name, format_plan(plan)) for name, plan in architecture.freeze.items()],
        "Adapters": [(name, _adapter(spec, name)) for name in architecture.adapters],
        "Checkpoint layouts": [
            (name, _layout(layout)) for name, layout in architecture.checkpoints.items()
        ],
        "Config files": _config(architecture.config) if architecture.config else [],
        "Task": _flat(task),
    }
    inner = width and max(width - 2, 20)
    return {
        title: textwrap.indent(part if isinstance(part, str) else format_rows(part, inner), "  ")
        for title, part in parts.items()
        if part
    }


def _params(spec: Spec) -> list[tuple[str, ...]]:
    return [
        (name, shortened(_yaml(param.value), _MAX_VALUE), param.type, _origin(param))
        for name, param in spec.params.items()
    ]


def _let(spec: Spec) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, value in spec.let.items():
        place = spec.document.place(("let", name), key=True)
        rows.append((name, shortened(_yaml(value), _MAX_VALUE), f"{place.file}:{place.line}"))
    return rows


def _origin(param: Resolved) -> str:
    return f"{param.place.file}:{param.place.line}" if param.place else param.origin


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
        for method, one in block.methods.items():
            given = [_contract(*item) for item in (one.inputs or block.inputs).items()]
            takes.append(f"{method}: {'; '.join(given)}")
        head = f"{name} × {instances[name]:,}\n{place.file}:{place.line}"
        rows.append((head, "\n".join(takes + returns)))
    return rows


def _contract(name: str, contract: Contract) -> str:
    shape = ", ".join(str(size).removeprefix("$") for size in contract.sizes)
    shape = f" [{shape}]" if contract.is_tensor else f" [[{shape}]]" if contract.is_list else ""
    shape = f"{shape} for {contract.index} = 0, 1, …" if contract.index else shape
    dtype = f" {contract.dtype}" if contract.dtype else ""
    default = "" if contract.default is None else f" = {_yaml(contract.default)}"
    when = "" if contract.when is True else f", when {str(contract.when).removeprefix('$')}"
    by_name = ", by name" if contract.keyword else ""
    return f"{name}{'?' if contract.optional else ''}{shape}{dtype}{default}{when}{by_name}"


def _adapter(spec: Spec, name: str) -> str:
    """What an adapter says, and whether it is applied."""
    declared = spec.architecture.adapters[name].model_dump(exclude_defaults=True)
    text = "  ".join(f"{key}: {_yaml(value)}" for key, value in declared.items())
    if spec.adapter is None or spec.adapter.name != name:
        return text
    return f"{text}\napplied to {len(spec.adapter.classes):,} layers"


def format_plan(plan: FreezePlan) -> str:
    """A freeze plan's patterns, and its switches where they are not the usual ones."""
    exceptions = {
        "gradients flow": not plan.gradients,
        "statistics move": not plan.statistics,
        "dropout is on": not plan.dropout,
    }
    notes = [note for note, holds in exceptions.items() if holds]
    return "  ".join([*plan.patterns, *(f"({note})" for note in notes)]) or "(nothing)"


def _layout(layout: Checkpoint) -> str:
    lines = [f"{own} → {foreign}" for own, foreign in layout.rename.items()]
    lines += [f"then {own} → {foreign}" for own, foreign in layout.then.items()]
    for kind, joins in (("split", layout.split), ("stack", layout.stack)):
        lines += [f"{', '.join(j.ours)} → {', '.join(j.theirs)} ({kind}, {j.dim})" for j in joins]
    lines += [f"transposes {pattern}" for pattern in layout.transpose]
    lines += [f"reshapes {pattern} to {sizes}" for pattern, sizes in layout.reshape.items()]
    lines += [f"prefix {layout.prefix}"] if layout.prefix else []
    lines += [f"requires {name} {_allowed(value)}" for name, value in layout.require.items()]
    lines += [f"ignores {pattern}" for pattern in layout.ignore]
    lines += [f"may lack {pattern}" for pattern in layout.optional]
    return "\n".join(lines) or "(our own names)"


def _config(config: Config) -> list[tuple[str, str]]:
    """How a file such as config.json sets the parameters."""
    rows = [("model_type", ", ".join(config.model_type))] if config.model_type else []
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
            rows.append((prefix + key, shortened(_yaml(value), _MAX_VALUE)))
    return rows


# ----------------------------------------------------------------------------------------- models


def format_counts(facts: Mapping[str, Any], width: int | None = None) -> str:
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
    return format_rows(list(rows.items()), width)
