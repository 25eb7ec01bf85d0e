"""``archspec merge``: the weights of a run with its adapter in them, or the adapter alone."""

from __future__ import annotations

from pathlib import Path

import click

import archspec
from archspec.cli import terminal
from archspec.cli.command import Command


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "path",
    metavar="PATH",
    required=True,
    type=click.Path(path_type=Path),
    help="Safetensors file or folder to write. With --adapter-only, a folder.",
)
@click.option(
    "--adapter-only",
    is_flag=True,
    help="Write the adapter alone, as PEFT does: adapter_model.safetensors and "
    "adapter_config.json.",
)
@click.option(
    "--layout",
    metavar="LAYOUT",
    show_default="archspec; with --adapter-only transformers, if the spec has it",
    help="Layout (naming scheme) of the written tensors: archspec, or one that 'archspec show "
    "SPEC' lists.",
)
@click.option(
    "--which",
    type=click.Choice(["best", "last"]),
    default="best",
    show_default=True,
    help="Weights of the best epoch, or the last ones.",
)
def merge(run: Path, path: Path, adapter_only: bool, layout: str | None, which: str) -> None:
    """Merge the adapter of a run into the weights of its model.

    RUN is the folder of a run that trained an adapter. The merged weights load into the spec
    without its adapter, and give the same outputs as the model with it.

    \b
    Examples:
      archspec merge runs/topics --to merged.safetensors
      archspec merge runs/topics --to merged/ --layout transformers
      archspec merge runs/topics --to adapter/ --adapter-only
    """
    from archspec.report.text import printable
    from archspec.training.run import Run

    model = Run.of(run).model(weights="best" if which == "best" else "last", device="cpu")
    if adapter_only:
        files = archspec.save_adapter(model, path, layout=layout)
    else:
        files = archspec.save_weights(archspec.merge(model), path, layout=layout)
    for file in files:
        terminal.put(printable(str(file)))
