"""``archspec train``, ``runs`` and ``resume``: fine-tuning, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.spec_commands import Command
from archspec.errors import Problem, UsageError, listing

if TYPE_CHECKING:
    from archspec.freezing import FreezeProof
    from archspec.training import Run

_INTERRUPTED = 130


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@click.option(
    "--data",
    metavar="PATH",
    multiple=True,
    required=True,
    help="A file, a folder, or a name on the hub; may be repeated for several files.",
)
@options.freeze
@click.option(
    "--weights",
    metavar="PATH",
    help="Weights to start from, or a run's folder. [default: none, training from scratch]",
)
@click.option("--out", metavar="FOLDER", default="runs", help="Gets a folder for the run.")
@click.option("--name", metavar="NAME", help="Of that folder; left out: time, spec and plan.")
@click.option("--epochs", metavar="N", type=int, help="3 if left out.")
@click.option("--phases", metavar="PLAN:N,…", help="Plans one after the other, instead.")
@click.option("--batch-size", metavar="N", default=32, help="Samples a batch.")
@click.option("--learning-rate", metavar="X", default=2e-4, help="At its highest.")
@click.option("--optimizer", metavar="NAME", default="adamw", help="adamw, adam or sgd.")
@click.option("--momentum", metavar="X", type=float, help="Of sgd; 0.9 if left out.")
@click.option("--weight-decay", metavar="X", default=0.01, help="Of weights, not biases or norms.")
@click.option(
    "--schedule", metavar="NAME", default="linear", help="linear, cosine, one-cycle or constant."
)
@click.option("--warmup", metavar="SHARE", type=float, help="Of a phase; one-cycle 0.3, else 0.1.")
@click.option("--precision", metavar="NAME", default="fp32", help="fp32, bf16-mixed or fp16-mixed.")
@click.option("--accumulate", metavar="N", default=1, help="Batches that make one step.")
@click.option("--clip", metavar="X", default=1.0, help="Norm of gradients at most; 0: any.")
@click.option("--monitor", metavar="NAME", help="accuracy (if left out), loss or macro_f1.")
@click.option("--patience", metavar="N", type=int, help="End after N epochs without a better one.")
@click.option("--seed", metavar="N", default=0, help="Of all that is random.")
@click.option("--device", metavar="NAME", default="auto", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--devices", metavar="N", default=1, help="How many of them.")
@click.option("--strategy", metavar="NAME", default="auto", help="For several: auto, ddp or fsdp.")
@click.option("--workers", metavar="N", default=0, help="Processes that decode images.")
@click.option("--save-every", metavar="S", default=120.0, help="Seconds between saves.")
@click.option(
    "--cache",
    metavar="FOLDER",
    default="auto",
    help="Of activations that never change; auto: in OUT; off: none.",
)
@click.option("--cache-gb", metavar="X", default=20.0, help="The most that it takes, in GiB.")
@click.option("--max-length", metavar="N", type=int, help="Tokens of a text at most.")
@click.option("--tokenizer", metavar="FILE", help="Left out: beside the weights or the spec.")
@click.option("--text", metavar="COLUMN", help="Left out: guessed.")
@click.option("--image", metavar="COLUMN", help="Left out: guessed.")
@click.option("--label", metavar="COLUMN", help="Left out: guessed.")
@click.option("--labels", metavar="NAME,…", help="The classes in order; left out: those there are.")
@click.option("--train", metavar="SPLIT", help="The data's name of it; left out: told by its name.")
@click.option("--validation", metavar="SPLIT", help="As --train.")
@click.option("--test", metavar="SPLIT", help="As --train.")
@click.option(
    "--validation-share",
    metavar="X",
    type=float,
    help="Cut off where there is no such split; 0.1 if left out.",
)
@click.option("--most-bad", metavar="SHARE", type=float, help="Of bad rows to put up with; 0.")
@options.header
@options.encoding
@click.option("--ignore", metavar="PATTERN", multiple=True, help="Names of the weights to skip.")
@click.option("--optional", metavar="PATTERN", multiple=True, help="Our names they may lack.")
@options.key
@options.partial
@options.overrides
@options.as_json
def train(
    spec: str,
    data: tuple[str, ...],
    given: tuple[str, ...],
    config: Path | None,
    freeze: tuple[str, ...],
    labels: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Fine-tune a spec's model on data, following freeze plans.

    Everything goes to a folder of its own: the resolved spec, its Python source, the proof that
    nothing frozen moved, metrics, curves, the best and the last weights, and what 'archspec resume'
    needs. The number of classes is set from the data. Ctrl-C stops after the step, and saves.

    A model reads one text or image and tells one class: data of pairs, of several labels a row, of
    numbers to predict, or of tags for tokens is refused.

    \b
    Examples:
      archspec train bert --data reviews.csv --weights bert-base/ --freeze last-2-and-head
      archspec train bert --data topics/ --weights bert-base/ --phases head-only:1,last-2-and-head:2
      archspec train resnet18 --data photos/ --weights resnet18.pth --freeze head-only
      archspec train my-model.yaml --data train.parquet --epochs 15 --schedule one-cycle
      torchrun --nproc-per-node 2 -m archspec train bert --data topics/ --strategy ddp
    """
    loaded = options.load(spec, given, config)
    run = archspec.train(
        loaded,
        data[0] if len(data) == 1 else list(data),
        freeze=options.plan(loaded, freeze),
        labels=None if labels is None else [name.strip() for name in labels.split(",")],
        **asked,
    )
    _put(run, as_json=as_json)


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--epochs", metavar="N", type=int, help="Train N more epochs; RUN may be finished.")
@options.as_json
def resume(run: Path, epochs: int | None, as_json: bool) -> None:
    """Go on with a run, or train a finished one further.

    RUN is the run's folder. A run that was stopped or killed goes on from the step that was last
    saved, with the same data, and ends as if nothing had happened. With --epochs one more phase
    follows, with the last plan and its own optimizer and schedule, from the last weights.

    \b
    Examples:
      archspec resume runs/20260131-120000-bert-head-only
      archspec resume runs/20260131-120000-bert-head-only --epochs 2
    """
    _put(archspec.resume(run, epochs=epochs), as_json=as_json)


@click.command(cls=Command)
@click.argument("folder", metavar="[FOLDER]", default="runs", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Of one: hold its weights against its freeze proofs.")
@options.as_json
def runs(folder: Path, verify: bool, as_json: bool) -> None:
    """List the runs in a folder, or show one.

    \b
    Examples:
      archspec runs
      archspec runs runs/20260131-120000-bert-head-only
      archspec runs runs/20260131-120000-bert-head-only --verify
      archspec runs --json
    """
    from archspec.report.text import printable
    from archspec.training import run_folder as files
    from archspec.training.run import Run

    if (folder / files.FACTS).is_file():
        run = Run.of(folder)
        proofs = run.verify() if verify else {}
        _put(run, as_json=as_json, status=False, proofs=proofs)
        return
    if verify:
        raise UsageError(
            Problem("E801", f"{folder}: no run", hint="--verify takes one run's folder")
        )
    found = archspec.runs(folder)
    listed_paths = {run.path for run in found}
    unread = [
        path.name
        for path in sorted(folder.iterdir())
        if (path / files.FACTS).is_file() and path not in listed_paths
    ]
    if unread:
        note = f"{len(unread)} that cannot be read, as 'archspec runs RUN' tells: {listing(unread)}"
        terminal.put(printable(note), err=True)
    if as_json:
        terminal.put_json([run.to_dict() for run in found])
        return
    from archspec.report.display import styled_text
    from archspec.training.rendering import listed

    shown = styled_text(listed(found), terminal.width())
    terminal.put(shown if found else "no runs")


def _put(
    run: Run,
    *,
    as_json: bool,
    status: bool = True,
    proofs: Mapping[str, FreezeProof] | None = None,
) -> None:
    from archspec.training import environment

    if environment.rank(_devices(run)) == 0:  # of several processes one speaks
        _tell(run, proofs or {}, as_json=as_json)
    if status and run.status == "stopped":
        click.get_current_context().exit(_INTERRUPTED)


def _devices(run: Run) -> int:
    asked = run.facts.get("options", {}).get("devices")
    return asked if isinstance(asked, int) else 1


def _tell(run: Run, proofs: Mapping[str, FreezeProof], *, as_json: bool) -> None:
    if as_json:
        held = {name: proof.digest for name, proof in proofs.items()}
        terminal.put_json({**run.to_dict(), **({"verified": held} if held else {})})
        return
    terminal.put(run.text(terminal.width()))
    for name, proof in proofs.items():
        terminal.put(f"{name}: {len(proof.hashes)} frozen tensors have not moved")
