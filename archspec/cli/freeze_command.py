"""``archspec freeze``: what a freeze plan does to a spec's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.spec_commands import Command

if TYPE_CHECKING:
    from archspec.lang.spec import Spec


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@click.argument("plan", metavar="[PLAN | PATTERN...]", nargs=-1)
@options.overrides
@options.as_json
def freeze(
    spec: str, plan: tuple[str, ...], given: tuple[str, ...], config: Path | None, as_json: bool
) -> None:
    """Tell what a freeze plan does, or list a spec's plans.

    For each pattern what it selects and how many parameters it decides, frozen and trainable
    totals, and what stays in inference mode through model.train(). PLAN is one of the
    spec's plans; anything else is a list of patterns. The model is built without memory.

    \b
    Examples:
      archspec freeze bert
      archspec freeze bert last-2-and-head
      archspec freeze bert '**' '!classifier'
      archspec freeze resnet18 '@BatchNorm2d' --json
    """
    loaded = options.load(spec, given, config)
    chosen = options.plan(loaded, plan)
    if chosen is None:
        _list(loaded, as_json=as_json)
        return
    report = archspec.freeze(archspec.build(loaded, device="meta"), chosen, spec=loaded)
    if as_json:
        terminal.put_json(report.to_dict())
    else:
        terminal.put(report.text(terminal.width()))


def _list(spec: Spec, *, as_json: bool) -> None:
    """Every plan of a spec, with what it leaves to train."""
    from archspec.cli.spec_text import format_plan
    from archspec.report.tables import format_rows

    model = archspec.build(spec, device="meta")
    reports = {name: archspec.freeze(model, name, spec=spec) for name in spec.architecture.freeze}
    if as_json:
        terminal.put_json([report.to_dict() for report in reports.values()])
        return
    digits = max((len(f"{report.parameters:,}") for report in reports.values()), default=0)
    rows = [
        (name, f"trains {report.trainable:{digits},} parameters", format_plan(plan))
        for (name, report), plan in zip(
            reports.items(), spec.architecture.freeze.values(), strict=True
        )
    ]
    terminal.put(format_rows(rows, terminal.width()) or "no freeze plans")
