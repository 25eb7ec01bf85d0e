"""``archspec inspect``: what a spec's model is and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archspec.cli import options, terminal
from archspec.cli.spec_commands import Command

if TYPE_CHECKING:
    from archspec.lang.spec import Spec


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@options.overrides
@options.freeze
@options.max_operations
@click.option("--batch", metavar="N", type=int, help="Samples in one step.")
@options.dim
@click.option(
    "--without",
    metavar="INPUT",
    multiple=True,
    help="Leave an optional input out. May be repeated.",
)
@click.option(
    "--precision",
    metavar="NAME",
    default="fp32",
    help="fp32, bf16, fp16, bf16-mixed or fp16-mixed.",
)
@click.option(
    "--optimizer",
    metavar="NAME",
    default="adamw",
    help="adamw, adamw-8bit, adam, sgd, sgd-momentum, rmsprop, adagrad or none.",
)
@click.option(
    "--checkpoint-blocks",
    "checkpoint_blocks",
    metavar="PATTERN",
    multiple=True,
    help="Modules whose activations are computed again in the backward pass.",
)
@click.option(
    "--largest-batch", "gib", metavar="GIB", type=float, help="Find the batch that fits into GIB."
)
@click.option("--table", is_flag=True, help="Print torchinfo's table of layers instead.")
@options.as_json
def inspect(
    spec: str,
    given: tuple[str, ...],
    config: Path | None,
    freeze: tuple[str, ...],
    batch: int | None,
    sizes: dict[str, int],
    without: tuple[str, ...],
    precision: str,
    optimizer: str,
    checkpoint_blocks: tuple[str, ...],
    gib: float | None,
    table: bool,
    as_json: bool,
) -> None:
    """Tell what a model is and what it costs, without giving it memory.

    The tree with parameters, MACs, shapes and the bytes that each module keeps for the
    backward pass; totals; the memory of training and inference. Each figure says whether it
    is exact. Shared tensors count once.

    \b
    Examples:
      archspec inspect bert --batch 8 --dim seq=512
      archspec inspect bert --without attention_mask
      archspec inspect bert --freeze last-2-and-head --precision bf16-mixed
      archspec inspect bert --checkpoint-blocks 'bert.encoder.layer.*'
      archspec inspect resnet50 --largest-batch 16
      archspec inspect resnet18 --table
      archspec inspect bert --json
    """
    if table and (as_json or gib is not None):
        raise click.UsageError("--table goes with neither --json nor --largest-batch")
    if batch is not None and "batch" in sizes:
        raise click.UsageError("the batch is given twice")
    if gib is not None and (batch is not None or "batch" in sizes):
        raise click.UsageError("--largest-batch finds the batch: it cannot be given")
    sizes = sizes if batch is None else {**sizes, "batch": batch}
    loaded = options.load(spec, given, config)
    plan = options.plan(loaded, freeze)
    if table:
        _put_table(loaded, plan, sizes, without)
        return

    from dataclasses import asdict

    from archspec.inspection import Figure
    from archspec.inspection.inspecting import Case

    if gib is not None:
        sizes = {**sizes, "batch": 1}
    case = Case.of(loaded, sizes, plan, precision, optimizer, checkpoint_blocks, without)
    if gib is None:
        found = case.inspection()
        if as_json:
            terminal.put_json(found.to_dict())
        else:
            terminal.put(found.text(terminal.width()))
        return
    largest = Figure(case.largest_batch(gib), "samples", exact=False)
    if as_json:
        terminal.put_json({"name": loaded.name, "gib": gib, "largest_batch": asdict(largest)})
    else:
        told = f"{largest.value:,} {largest.unit} (estimated)"
        terminal.put(f"largest batch in {gib:g} GiB: {told}")


def _put_table(
    spec: Spec, plan: str | list[str] | None, sizes: dict[str, int], without: tuple[str, ...]
) -> None:
    from archspec.inspection.summary_table import summary_table
    from archspec.report.text import printable_lines

    table = summary_table(spec, freeze=plan, sizes=sizes, without=without)
    terminal.put(printable_lines(table))
