"""``archspec freeze``: what a freeze plan does to a spec's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.command import Command

if TYPE_CHECKING:
    from archspec.lang.spec import Spec


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@click.argument("plan", metavar="[PLAN | PATTERN...]", nargs=-1)
@options.overrides
@click.option(
    "--list",
    "names",
    is_flag=True,
    help="Print the names of the trainable parameters, one per line.",
)
@options.as_json
def freeze(
    spec: str,
    plan: tuple[str, ...],
    given: tuple[str, ...],
    config: Path | None,
    names: bool,
    as_json: bool,
) -> None:
    """Show the effect of a freeze plan, or list the plans of a spec.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    PLAN is one of its freeze plans; any other arguments are patterns of module names. Without them,
    the plans of the spec are listed.

    Shows which modules each pattern selects and how many parameters it decides, the frozen and
    trainable totals, and the modules that stay in eval mode after model.train(). The model is built
    on the meta device.

    \b
    Examples:
      archspec freeze bert
      archspec freeze bert last-2-and-head
      archspec freeze bert last-2-and-head --list
      archspec freeze bert '**' '!classifier'
      archspec freeze resnet18 '@BatchNorm2d' --json
    """
    loaded = options.load(spec, given, config)
    chosen = options.plan(loaded, plan)
    if names and (as_json or chosen is None):
        raise click.UsageError("--list takes a plan or patterns, and does not go with --json")
    if chosen is None:
        _put_plans(loaded, as_json=as_json)
        return
    model = archspec.build(loaded, device="meta")
    report = archspec.freeze(model, chosen, spec=loaded)
    if names:
        from archspec.report.text import printable

        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                terminal.put(printable(name))
    elif as_json:
        terminal.put_json(report.to_dict())
    else:
        terminal.put(report.text(terminal.width()))


def _put_plans(spec: Spec, *, as_json: bool) -> None:
    """Each plan of a spec with the number of parameters that it trains."""
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
