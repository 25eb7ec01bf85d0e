"""``archspec inspect``: the structure and the cost of a spec's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archspec.cli import options, terminal
from archspec.cli.command import Command, option
from archspec.report import option_help

if TYPE_CHECKING:
    from archspec.lang.spec import Spec


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@options.overrides
@options.freeze
@options.max_operations
@options.batch
@options.dim
@option(
    "--without",
    metavar="INPUT",
    multiple=True,
    group="Inputs",
    help="Leave out an optional input, such as attention_mask. May be repeated.",
)
@option(
    "--precision",
    metavar="NAME",
    default="fp32",
    group="Training",
    help="Training precision: fp32, bf16, fp16, bf16-mixed or fp16-mixed.",
)
@option(
    "--optimizer",
    metavar="NAME",
    default="adamw",
    group="Training",
    help="Optimizer whose state counts as training memory: adamw, adamw-8bit, adam, sgd, "
    "sgd-momentum, rmsprop, adagrad or none.",
)
@option(
    "--device",
    metavar="NAME",
    default="cpu",
    group="Training",
    help="Device whose kernels decide what is saved for the backward pass: cpu or cuda.",
)
@option(
    "--checkpoint-blocks",
    "checkpoint_blocks",
    metavar="PATTERN",
    multiple=True,
    group="Training",
    help=option_help.CHECKPOINT_BLOCKS,
)
@option(
    "--largest-batch",
    "gib",
    metavar="GIB",
    type=float,
    group="Output",
    help="Print only the largest batch size that can be trained in this much memory, in GiB.",
)
@option("--table", is_flag=True, group="Output", help="Print the layer table of torchinfo instead.")
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
    device: str,
    checkpoint_blocks: tuple[str, ...],
    gib: float | None,
    table: bool,
    as_json: bool,
) -> None:
    """Show the structure and the cost of a model without allocating it.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    Shows the module tree with parameters, MACs, shapes and the memory of the activations saved for
    the backward pass; the totals; and the memory needed for training and inference. Each figure is
    marked as exact or estimated. Shared tensors are counted once.

    \b
    Examples:
      archspec inspect bert --batch 8 --dim seq=512
      archspec inspect bert --without attention_mask
      archspec inspect bert --freeze last-2-and-head --precision bf16-mixed --device cuda
      archspec inspect bert --checkpoint-blocks 'bert.encoder.layer.*'
      archspec inspect resnet50 --largest-batch 16
      archspec inspect resnet18 --table
      archspec inspect bert --json
    """
    if table and (as_json or gib is not None):
        raise click.UsageError("--table goes with neither --json nor --largest-batch")
    if gib is not None and (batch is not None or "batch" in sizes):
        raise click.UsageError("--largest-batch goes with neither --batch nor --dim batch=SIZE")
    sizes = options.dims_with_batch(sizes, batch)
    loaded = options.load(spec, given, config)
    plan = options.plan(loaded, freeze)
    if table:
        _put_table(loaded, plan, sizes, without)
        return

    from dataclasses import asdict

    from archspec.inspection import Figure
    from archspec.inspection.inspecting import MeasuredModel

    if gib is not None:
        sizes = {**sizes, "batch": 1}
    case = MeasuredModel.of(
        loaded, sizes, plan, precision, optimizer, checkpoint_blocks, without, device
    )
    if gib is None:
        inspection = case.inspection()
        if as_json:
            terminal.put_json(inspection.to_dict())
        else:
            terminal.put(inspection.text(terminal.width()))
        return
    largest = Figure(case.largest_batch(gib), "samples", exact=False)
    if as_json:
        terminal.put_json({"name": loaded.name, "gib": gib, "largest_batch": asdict(largest)})
    else:
        size = f"{largest.value:,} {largest.unit} (estimated)"
        terminal.put(f"largest batch in {gib:g} GiB: {size}")


def _put_table(
    spec: Spec, plan: str | list[str] | None, sizes: dict[str, int], without: tuple[str, ...]
) -> None:
    from archspec.inspection.summary_table import summary_table
    from archspec.report.text import printable_lines

    table = summary_table(spec, freeze=plan, sizes=sizes, without=without)
    terminal.put(printable_lines(table))
