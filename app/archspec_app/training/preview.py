"""What a run would train on, and what it would take, before it is started."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import archspec
from archspec.data import Data, ImageEncoder, Rows, TextEncoder
from archspec.data.batching import token_counts
from archspec.data.thumbnail import thumbnail
from archspec.data.token_counts import TokenCounts, total
from archspec.errors import ArchspecError
from archspec.freezing.quantized import saving
from archspec.lang.spec import Spec
from archspec.tasks import labels_pixels, tags_words
from archspec.training.data_feed import DataSource, encoders, opened
from archspec.training.environment import require
from archspec.training.model_setup import (
    always_frozen,
    class_param,
    frozen_at_random,
    with_adapter_plan,
    with_classes,
)
from archspec.training.options import TrainOptions
from archspec_app.costs import figure_data
from archspec_app.session import dimensions
from archspec_app.training.short_run import short_steps
from archspec_app.training.train_request import TrainRequest, in_words_of_the_form
from archspec_app.workspace import without_paths

MAX_ROWS = 5
MAX_CLASSES = 30
MAX_CELL = 300  # characters
MAX_COUNTED = 5_000  # texts of a split that are measured


def preview(folder: Path, name: str, request: TrainRequest) -> dict[str, Any]:
    """Open the data as the run would, and measure it.

    Args:
        folder: that the page works in.
        name: of the spec, for the command line.
        request: what is asked for.

    Returns:
        ``command``, the command line that does the same; ``columns``, each with ``role`` and
        ``name``; ``splits``, each with ``name``, ``rows`` and ``classes`` (name → count; None where
        there are more than ``MAX_CLASSES``, or none); ``unit``, of what these counts are;
        ``first``, a list of cells for each of the first rows; ``tokens`` (None of images) with
        ``texts``, ``truncated``, ``longest`` and ``max_length``, and ``is_part`` where not all
        texts were measured; ``epochs``, ``steps`` of each; ``memory`` (None if it cannot be
        estimated); ``notes``.

    Raises:
        ArchspecError: the data cannot be trained on; its text is safe to show.
    """
    try:
        return _preview(folder, name, request)
    except ArchspecError as error:
        problems = [without_paths(problem, folder) for problem in error.problems]
        raise type(error)(problems) from None


def estimate(folder: Path, request: TrainRequest) -> dict[str, Any]:
    """Measure what the batches of a run take, by training on a few of them.

    Returns:
        ``seconds``, of all batches of all epochs; ``batch_seconds``, of one of them on average;
        ``measured``, how many; ``epochs``; ``max_steps``, None unless the run ends by it; where
        that takes long, ``short`` with ``steps`` that take half a minute and their ``seconds``,
        else None. Or only ``problem``: why nothing was measured.

    Raises:
        ArchspecError: the run cannot begin; its text is safe to show.
    """
    try:
        setup = _set_up(folder, request)
        memory = _memory(setup.spec, setup.options, setup.tokens)
        if memory is not None and memory["fits"] is False:
            return {"problem": "a step does not fit into memory"}
        if setup.options.compile or setup.options.devices != 1:
            return {"problem": "the model is compiled, or trained by several processes"}
        require()
        from archspec_app.training.step_time import measure_batches  # slow to import

        found = measure_batches(setup.spec, setup.source.data, setup.options, setup.encoders)
    except ArchspecError as error:
        problems = [without_paths(problem, folder) for problem in error.problems]
        raise type(error)(problems) from None
    limit, accumulated = setup.options.max_steps, setup.options.accumulate_grad_batches
    left = math.inf if limit is None else limit * accumulated
    batches, seconds = 0, 0.0
    for phase in found:
        count = int(min(phase.batches * phase.epochs, left))
        batches, seconds, left = batches + count, seconds + count * phase.seconds, left - count
    step = found[0].seconds * accumulated
    short = short_steps(seconds, step)
    return {
        "seconds": seconds,
        "batch_seconds": seconds / max(1, batches),
        "measured": sum(phase.measured for phase in found),
        "epochs": sum(phase.epochs for phase in found),
        "max_steps": limit if left == 0 else None,
        "short": None if short is None else {"steps": short, "seconds": short * step},
    }


@dataclass(frozen=True, slots=True)
class _Setup:
    """Data, spec and options of a run, brought together as the run does it."""

    source: DataSource
    spec: Spec
    options: TrainOptions
    encoders: tuple[TextEncoder | ImageEncoder, TextEncoder | ImageEncoder]
    notes: tuple[str, ...]

    @property
    def tokens(self) -> TokenCounts | None:
        encoder = self.encoders[1]
        return _tokens(self.source.data, encoder) if isinstance(encoder, TextEncoder) else None


def _set_up(folder: Path, request: TrainRequest) -> _Setup:
    files = {key: str(folder / file) for key, file in request.files}
    sources = [str(folder / file) for key, file in request.files if key == "data"]
    spec, options = request.spec, request.options
    if options.task is not None:
        spec = spec.for_task(options.task)
    source = opened(sources[0] if len(sources) == 1 else sources, spec, options)
    spec, options, notes = with_adapter_plan(spec, options)
    options = options.resolved(spec.architecture.freeze)
    spec = with_classes(spec, source.data)
    paths = (files.get("weights"), files.get("tokenizer"), options.max_length)
    return _Setup(source, spec, options, encoders(spec, *paths), tuple(notes))


def _preview(folder: Path, name: str, request: TrainRequest) -> dict[str, Any]:
    setup = _set_up(folder, request)
    source, spec, options = setup.source, setup.spec, setup.options
    tokens = setup.tokens
    is_part = any(len(rows) > MAX_COUNTED for rows in source.data.splits.values())
    notes = [*source.notes, *setup.notes, *(tokens.notes if tokens and not is_part else ())]
    if spec.weights is None and not any(key == "weights" for key, _ in request.files):
        model = archspec.build(spec, device="meta")
        notes += frozen_at_random(always_frozen(model, options.phases), None)
    sized = class_param(spec)
    if sized is not None and request.spec.values.get(sized) != spec.values[sized]:
        notes.append(f"{sized} is {spec.values[sized]}, as the data needs.")
    epochs, steps = options.total_epochs, _steps(source.data, options)
    if options.max_steps is not None and steps and options.max_steps < epochs * steps:
        notes.append(f"max_steps ends the training after {options.max_steps:,} steps.")
    return {
        "command": shlex.join(["archspec", "train", name, *request.arguments]),
        "columns": [
            {"role": role.replace("_", " "), "name": column}
            for role, column in source.data.to_dict()["columns"].items()
            if column is not None
        ],
        "splits": [
            {"name": split, "rows": len(rows), "classes": _classes(rows)}
            for split, rows in source.data.splits.items()
        ],
        "unit": _unit(source.data),
        "first": _first_rows(source.data),
        "tokens": {**tokens.to_dict(), "is_part": is_part} if tokens else None,
        "epochs": epochs,
        "steps": steps,
        "memory": _memory(spec, options, tokens),
        "notes": [in_words_of_the_form(note) for note in notes],
    }


def _tokens(data: Data, encoder: TextEncoder) -> TokenCounts | None:
    few = [rows.select(range(min(len(rows), MAX_COUNTED))) for rows in data.splits.values()]
    counts = [token_counts(rows, encoder) for rows in few if len(rows)]
    return total([one for one in counts if one is not None])


def _classes(rows: Rows) -> dict[str, int] | None:
    return rows.counts if 0 < len(rows.counts) <= MAX_CLASSES else None


def _unit(data: Data) -> str:
    if labels_pixels(data.task_kind):
        return "pixels"
    return "words" if tags_words(data.task_kind) else "rows"


def _first_rows(data: Data) -> list[list[Any]]:
    """The cells of the columns that are used; an image is ``{"image": base64}``."""
    rows = next(iter(data.splits.values()))
    few = rows.select(range(min(len(rows), MAX_ROWS)))
    table = few.table()
    columns = data.to_dict()["columns"]
    used = [(role, column) for role, column in columns.items() if column is not None]
    return [
        [
            _image(few[i]) if role == "image" else _cell(table, column, i)
            for role, column in used
        ]
        for i in range(len(few))
    ]  # fmt: skip


def _cell(table: Any, column: str, i: int) -> str:
    value = table[i].get(column) if column in table.column_names else None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = " ".join(map(str, value))
    if isinstance(value, bytes | dict):
        return "(an image)"
    text = "" if value is None else str(value)
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…"


def _image(content: object) -> dict[str, str | None]:
    return {"image": thumbnail(content) if isinstance(content, bytes) else None}


def _steps(data: Data, options: TrainOptions) -> int | None:
    """Optimizer steps of an epoch."""
    if "train" not in data.splits:
        return None
    batches = math.ceil(len(data.splits["train"]) / options.batch_size)
    return math.ceil(batches / options.accumulate_grad_batches)


def _memory(spec: Spec, options: TrainOptions, tokens: TokenCounts | None) -> dict[str, Any] | None:
    """The estimate of ``inspect`` for one batch of the longest texts, beside what there is."""
    names = dimensions(spec)
    sizes: dict[str, Any] = {"batch": options.batch_size} if "batch" in names else {}
    if tokens is not None and "seq" in names:
        sizes["seq"] = max(1, min(tokens.longest, tokens.max_length))
    optimizer = "sgd-momentum" if options.optimizer == "sgd" and options.momentum else None
    is_gpu = options.device.startswith("cuda")
    is_gpu = is_gpu or (options.device == "auto" and torch.cuda.is_available())
    try:
        found = archspec.inspect(
            spec,
            freeze=options.phases[-1].plan,
            precision=options.precision,
            optimizer=optimizer or options.optimizer,
            checkpoint_blocks=options.checkpoint_blocks,
            device="cuda" if is_gpu else "cpu",
            **sizes,
        )
    except ArchspecError:
        return None
    free = _gpu_memory(options.device) if is_gpu else _available()
    where = "memory of the GPU" if is_gpu else "free memory of this machine"
    needed = found.memory.training
    if options.quantize:
        model = archspec.build(spec, device="meta", freeze=options.phases[-1].plan)
        _, before, after = saving(model, options.quantize)
        needed = replace(needed, value=needed.value - before + after, exact=False)
    return {
        **figure_data(needed),
        "sizes": sizes,
        "free": free,
        "where": where,
        "fits": None if free is None else needed.value <= free,
    }


def _gpu_memory(device: str) -> int | None:
    number = int(device.partition(":")[2] or 0)
    if number >= torch.cuda.device_count():
        return None
    return torch.cuda.get_device_properties(number).total_memory


def _available() -> int | None:
    """Bytes that a new process can have, as Linux estimates it; None on other systems."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None
