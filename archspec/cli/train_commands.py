"""``archspec train``, ``runs`` and ``resume``: fine-tuning and its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import archspec
from archspec.cli import options, terminal
from archspec.cli.command import Command, model_options, option
from archspec.errors import Problem, UsageError, listing

if TYPE_CHECKING:
    from archspec.freezing import FreezeProof
    from archspec.lang.spec import Spec
    from archspec.training import Run

INTERRUPTED = 130


data_option = option(
    "--data",
    metavar="PATH",
    multiple=True,
    required=True,
    group="Data",
    help="Training data: a file, a folder, or a dataset of the Hugging Face Hub. May be repeated.",
)


class TrainCommand(Command):
    """Takes the options of ``TrainOptions``, which are imported once they are needed."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if not self._has_options:
            from archspec.training.options import TrainOptions

            self.params += model_options(TrainOptions)
            self._has_options = True
        return super().get_params(ctx)

    _has_options = False


@click.command(cls=TrainCommand)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@data_option
@options.overrides
@options.as_json
@click.pass_context
def train(
    ctx: click.Context,
    spec: str,
    data: tuple[str, ...],
    given: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Fine-tune the model of a spec on data, with freeze plans.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    The task is given by the spec or by --task. The number of labels is taken from the data.

    The run folder holds the resolved spec, its Python source, a proof that frozen parameters have
    not changed, metrics, curves, the best and the last weights, and what 'archspec resume' needs.
    Ctrl-C stops after the current step and saves.

    \b
    Examples:
      archspec train bert --data reviews.csv --weights bert-base/ --freeze last-2-and-head
      archspec train bert --data topics/ --weights bert-base/ --phases head-only:1,last-2-and-head:2
      archspec train resnet18 --data photos/ --weights resnet18.pth --freeze head-only
      archspec train my-bert.yaml --data topics/ --weights bert-base/ --adapter lora
      archspec train my-model.yaml --data train.parquet --epochs 15 --schedule one-cycle
      torchrun --nproc-per-node 2 -m archspec train bert --data topics/ --strategy ddp
    """
    loaded = options.load(spec, given, config)
    chosen = chosen_options(ctx, loaded, values)
    run = archspec.train(loaded, data[0] if len(data) == 1 else list(data), **chosen)
    _put(run, as_json=as_json)


def chosen_options(ctx: click.Context, spec: Spec, values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``train`` that a command line gives, as Python takes them."""
    chosen = {
        name: value
        for name, value in values.items()
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    if "freeze" in chosen:
        chosen["freeze"] = options.plan(spec, chosen["freeze"])
    if "labels" in chosen:
        chosen["labels"] = [name.strip() for name in chosen["labels"].split(",")]
    return chosen


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--epochs",
    metavar="INT",
    type=int,
    help="Train for this many more epochs, even if the run has finished.",
)
@options.as_json
def resume(run: Path, epochs: int | None, as_json: bool) -> None:
    """Resume a run, or train a finished one for more epochs.

    RUN is the run folder. A run that was stopped or killed continues from the last saved step with
    the same data, and gives the same result as without the interruption. --epochs adds a phase
    that starts from the last weights, with the last freeze plan and a new optimizer and schedule.

    \b
    Examples:
      archspec resume runs/topics
      archspec resume runs/topics --epochs 2
    """
    _put(archspec.resume(run, epochs=epochs), as_json=as_json)


@click.command(cls=Command)
@click.argument("folder", metavar="[FOLDER]", default="runs", type=click.Path(path_type=Path))
@click.option(
    "--verify",
    is_flag=True,
    help="Check that the frozen weights of the run have not changed, using its freeze proofs.",
)
@options.as_json
def runs(folder: Path, verify: bool, as_json: bool) -> None:
    """List the runs in a folder, or show one.

    FOLDER is the output folder of 'archspec train', runs by default, or one run folder.

    \b
    Examples:
      archspec runs
      archspec runs runs/topics
      archspec runs runs/topics --verify
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
    from archspec.training.run import runs_table

    shown = styled_text(runs_table(found), terminal.width())
    terminal.put(shown if found else "no runs")


def _put(
    run: Run, *, as_json: bool, status: bool = True, proofs: Mapping[str, FreezeProof] | None = None
) -> None:
    from archspec.training import environment

    if environment.rank(_devices(run)) == 0:  # of several processes one speaks
        _tell(run, proofs or {}, as_json=as_json)
    if status and run.status == "stopped":
        click.get_current_context().exit(INTERRUPTED)


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
