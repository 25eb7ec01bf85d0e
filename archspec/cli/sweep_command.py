"""``archspec sweep``: many runs with other options each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.command import option
from archspec.cli.train_commands import INTERRUPTED, TrainCommand, chosen_options, data_option
from archspec.errors import Problem, UsageError


@click.command(cls=TrainCommand)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@data_option
@option(
    "--search",
    metavar="NAME=VALUES",
    multiple=True,
    required=True,
    group="Search",
    help="Option of 'archspec train' or parameter of the spec, and the values to try: "
    "log(LOW,HIGH), uniform(LOW,HIGH), int(LOW,HIGH), or a list such as 16,32. May be repeated.",
)
@option(
    "--trials",
    metavar="INT",
    type=int,
    default=20,
    show_default=True,
    group="Search",
    help="Maximum number of trials.",
)
@options.overrides
@options.as_json
@click.pass_context
def sweep(
    ctx: click.Context,
    spec: str,
    data: tuple[str, ...],
    search: tuple[str, ...],
    trials: int,
    given: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Search training options: run many trials and keep the best.

    Apart from --search and --trials, the arguments and options are those of 'archspec train';
    --name and --output-dir are for the folder of the sweep (<time>-<spec>-sweep), in which each
    trial is a run. Optuna chooses the values of a trial from the results of earlier ones, and
    trials that fall behind are stopped early. If all values are lists and there are no more
    combinations than trials, each combination is tried once (grid search). The metric that is
    optimized is set by --monitor.

    To continue a sweep that was interrupted, or to add trials, run the same command again with the
    --name of its folder.

    \b
    Examples:
      archspec sweep bert --data topics/ --weights minilm/ --search "learning_rate=log(1e-5,1e-3)"
      archspec sweep bert --data topics/ --search freeze=head-only,none --search batch_size=16,32
    """
    loaded = options.load(spec, given, config)
    chosen = chosen_options(ctx, loaded, values)
    source = data[0] if len(data) == 1 else list(data)
    found = archspec.sweep(loaded, source, _searched(search), trials=trials, **chosen)
    if as_json:
        terminal.put_json(found.to_dict())
    else:
        terminal.put(found.text(terminal.width()))
    if any(not trial.is_done for trial in found.trials):
        ctx.exit(INTERRUPTED)


def _searched(search: tuple[str, ...]) -> dict[str, str]:
    """
    >>> _searched(("learning_rate=log(1e-5,1e-3)",))
    {'learning_rate': 'log(1e-5,1e-3)'}
    """
    found: dict[str, str] = {}
    for text in search:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            hint = "such as learning_rate=log(1e-5,1e-3), or batch_size=16,32"
            raise UsageError(
                Problem("E801", f"--search takes NAME=VALUES, not '{text}'", hint=hint)
            )
        if name in found:
            raise UsageError(Problem("E801", f"--search {name} is given twice"))
        found[name] = values
    return found
