"""``draw`` one picture of a model, and ``draw_all`` of them, linked with each other."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from archspec.building.run_errors import run_error
from archspec.drawing.drawing import Drawing
from archspec.drawing.drawn_model import DrawnModel, bracketed
from archspec.drawing.flow_recorder import RecordedFlow, Recorder
from archspec.drawing.folding import Graph, fold_chains, limit_boxes, with_ids
from archspec.drawing.hierarchy import hierarchy
from archspec.errors import Problem, UsageError, did_you_mean, listing
from archspec.lang.instances import ancestors
from archspec.lang.spec import Spec
from archspec.tracing.forward_record import ForwardRecord
from archspec.tracing.meta_run import MetaRun
from archspec.tracing.repeats import Repeats

MAX_DRAWINGS = 200
"""Drawings that ``draw_all`` makes at most."""

INDEX = "index"
"""The name of the hierarchy among the drawings of ``draw_all``."""


def draw(
    source: str | os.PathLike[str] | Spec,
    *,
    block: str | None = None,
    freeze: str | Sequence[str] | None = None,
    batch: int | None = None,
    **dims: int,
) -> Drawing:
    """A picture of a model: the hierarchy of its modules, or the data flow of one block.

    The model is built on ``meta``; for a data flow it also runs there once, in inference mode,
    with all optional inputs.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        block: the name of a block, whose first module is drawn, or the path of a module; by
            default, the hierarchy is drawn.
        freeze: the name of one of the spec's freeze plans, or patterns.
        batch: samples in one step; by default the spec's own size, or 1.
        **dims: sizes of the spec's symbolic dimensions; they override its ``dims``.

    Returns:
        Boxes and arrows as data; ``save``, ``svg``, ``png`` and ``dot`` show them.

    Raises:
        UsageError: E801 if the model does not have or does not run the block; and as
            ``inspect``.
        ShapeError, SpecError, BuildError, FreezeError: as ``build``.

    Example:
        >>> drawing = draw("bert", block="BertSelfOutput")
        >>> [node.name for node in drawing.nodes]
        ['x', 'residual', 'dense', 'dropout', 'add', 'LayerNorm', 'output']
    """
    subject = DrawnModel.of(source, freeze, dims if batch is None else {**dims, "batch": batch})
    links = _drawing_names(subject)
    if block is None:
        return _drawing(subject, None, hierarchy(subject), links)
    paths = find_blocks(subject, block)
    flows = record_flows(subject, paths[:1]) or record_flows(subject, paths)
    if not flows:
        message = f"{block} is not run by the forward of {subject.spec.name}"
        raise _usage_error(message, "it has no data flow to draw")
    return _flow_drawing(subject, next(iter(flows.values())), links)


def draw_all(
    source: str | os.PathLike[str] | Spec,
    *,
    freeze: str | Sequence[str] | None = None,
    batch: int | None = None,
    **dims: int,
) -> dict[str, Drawing]:
    """Every picture of a model: the hierarchy, and the data flow of each distinct block.

    Args:
        source: as for ``draw``.
        freeze: as for ``draw``.
        batch: as for ``draw``.
        **dims: as for ``draw``.

    Returns:
        Name → drawing. Drawings link to their children and parents by these names; the hierarchy
        is ``index``.

    Raises:
        UsageError: E801, there are more than 200 drawings; and as ``draw``.
        ShapeError, SpecError, BuildError, FreezeError: as ``build``.

    Example:
        >>> list(draw_all("resnet18"))[:3]
        ['index', 'ResNet', 'BasicBlock']
    """
    subject = DrawnModel.of(source, freeze, dims if batch is None else {**dims, "batch": batch})
    names = _drawing_names(subject)
    firsts: dict[str, str] = {}
    for path, name in names.items():
        firsts.setdefault(name, path)
    if len(firsts) > MAX_DRAWINGS:
        message = f"{subject.spec.name} has {len(firsts):,} distinct blocks, too many to draw all"
        raise _usage_error(message, "draw one block at a time")
    flows = record_flows(subject, list(firsts.values()))
    links = {path: name for path, name in names.items() if firsts[name] in flows}
    drawings = {INDEX: _drawing(subject, None, hierarchy(subject), links)}
    for name, path in firsts.items():
        if path in flows:
            above = _links_up(subject, path, links)
            drawings[name] = replace(_flow_drawing(subject, flows[path], links), above=above)
    return drawings


# ---------------------------------------------------------------------------------- what is drawn


def find_blocks(subject: DrawnModel, block: str) -> list[str]:
    """The paths of the modules that a block's name or a path refers to.

    Raises:
        UsageError: E801 if there is none.
    """
    instances, blocks = subject.instances, subject.spec.architecture.blocks
    if not isinstance(block, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _usage_error(f"a block is a name or a path, not {type(block).__name__}", "")
    if block in blocks:
        paths = [path for path, instance in instances.items() if instance.type == block]
        if not paths:
            raise _usage_error(f"{subject.spec.name} makes no use of the block {block}", "")
        return paths
    path = re.sub(r"\[(\d+)\]", r".\1", block).removeprefix(".")
    path = block if block in instances else path
    if path not in instances:
        near = did_you_mean(block, [*blocks, *map(bracketed, instances)])
        hint = near or f"blocks: {listing(list(blocks))}"
        raise _usage_error(f"{subject.spec.name} has no block or module '{block}'", hint)
    kind = instances[path].type
    if kind not in blocks and kind != "Sequential":
        hint = "give a block's name, or the path of a block"
        raise _usage_error(f"{bracketed(path)} is no block, its type is {kind}", hint)
    return [path]


def _usage_error(message: str, hint: str) -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))


def _drawing_names(subject: DrawnModel) -> dict[str, str]:
    """Path of each block → name of its drawing; equal blocks have one."""
    blocks = subject.spec.architecture.blocks
    by_kind: dict[int, str] = {}
    taken = {INDEX}  # in one case: some file systems know no other
    numbers = Counter[str]()
    names: dict[str, str] = {}
    for path, instance in subject.instances.items():
        if instance.type not in blocks:
            continue
        kind = subject.kind(path)
        if kind not in by_kind:
            name = instance.type
            while name.casefold() in taken:
                numbers[instance.type] += 1
                name = f"{instance.type}-{numbers[instance.type] + 1}"
            taken.add(name.casefold())
            by_kind[kind] = name
        names[path] = by_kind[kind]
    return names


def _links_up(
    subject: DrawnModel, path: str, links: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Titles and names of the drawings to go back to: the hierarchy, and the block around."""
    around = [p for p in ancestors(path) if p in links][-1:]
    return (
        ("all modules", INDEX),
        *((subject.instances[p].type, links[p]) for p in around),
    )


# --------------------------------------------------------------------------------------- drawings


def _flow_drawing(subject: DrawnModel, flow: RecordedFlow, links: Mapping[str, str]) -> Drawing:
    graph = with_ids(*limit_boxes(*fold_chains(flow.nodes, flow.edges, subject.kind)))
    notes = _location_notes(subject, flow.path)
    if flow.absent:
        notes.append(f"not given: {', '.join(flow.absent)}")
    if not flow.complete:
        notes.append("it has too many steps: only the first ones are drawn")
    return _drawing(subject, flow.path, graph, links, notes)


def _location_notes(subject: DrawnModel, path: str) -> list[str]:
    """Where a block stands, and whether there are others like it."""
    if not path:
        return []
    kind = subject.instances[path].type
    same = [p for p, instance in subject.instances.items() if instance.type == kind]
    where = f"at {bracketed(path)}"
    if len(same) < 2 or kind == "Sequential":
        return [where]
    alike = sum(subject.kind(p) == subject.kind(path) for p in same)
    others = "all alike" if alike == len(same) else f"{alike:,} of them alike"
    others = others if alike > 1 else "each other one is different"
    return [where, f"one of {len(same):,} {kind}, {others}"]


def _drawing(
    subject: DrawnModel,
    path: str | None,
    graph: Graph,
    links: Mapping[str, str],
    notes: Sequence[str] = (),
) -> Drawing:
    """The drawing of a block, or of the hierarchy for a path of None.

    Args:
        links: path → name of the drawing of that module.
    """
    modules = (replace(box, link=links.get(box.path)) for box in graph[0] if box.kind == "module")
    linked = {box.id: box for box in modules}
    plan = subject.freeze
    return Drawing(
        spec=subject.spec.name,
        block="" if path is None else subject.instances[path].type,
        path=path or "",
        nodes=tuple(linked.get(box.id, box) for box in graph[0]),
        edges=tuple(graph[1]),
        dims=dict(subject.spec.architecture.dims),
        freeze=plan if isinstance(plan, str) or plan is None else tuple(plan),
        notes=tuple(notes),
    )


def record_flows(subject: DrawnModel, paths: Sequence[str]) -> dict[str, RecordedFlow]:
    """Run the model once, and record the forwards of these modules."""
    run_anew = {*paths, *(above for path in paths for above in ancestors(path))}
    kinds = {
        path: id(instance)
        for path, instance in subject.instances.items()
        if path not in run_anew and instance.type != "Sequential"  # it is looked into
    }
    model, recorder = subject.model, Recorder(subject, paths)
    model.eval()  # one value per channel is no batch to take statistics of
    try:
        with MetaRun(model), Repeats(model, kinds, ForwardRecord(model)), recorder:
            model(**subject.inputs)
    except Exception as error:
        action = f"{subject.spec.name} cannot be run on meta"
        raise run_error(subject.spec, model, error, action) from error
    finally:
        model.train()
    return recorder.flows
