"""The program ``archspec``: ``main`` is its entry point.

Exit status: 0 good, 1 the spec, the weights or the build has errors, 2 the command line has.
"""

from __future__ import annotations

from typing import Any

import click

from archspec import __version__
from archspec.cli import (
    commands,
    comparing,
    drawing,
    freezing,
    inspecting,
    locking,
    predicting,
    serving,
    terminal,
    training,
    weighing,
)

_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Look": (
        serving.app,
        commands.list_specs,
        commands.show,
        commands.validate,
        inspecting.inspect,
        freezing.freeze,
        drawing.draw,
    ),
    "Compare": (comparing.diff, comparing.patch, locking.lock, weighing.weights),
    "Make": (commands.build, commands.export),
    "Train": (training.train, training.resume, training.runs),
    "Predict": (predicting.predict,),
    "Edit": (commands.schema,),
}


class Program(click.Group):
    """A group that lists its commands by purpose, and ends as programs of a shell do."""

    def invoke(self, ctx: click.Context) -> Any:
        ctx.color = terminal.prepare()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(130)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, members in _SECTIONS.items():
            with formatter.section(title):
                limit = formatter.width - 12
                formatter.write_dl([(c.name or "", c.get_short_help_str(limit)) for c in members])


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="""
    SPEC is a YAML file or the name of a packaged spec. Every command has its own --help.

    \b
    Exit status: 0 good, 1 errors in the spec, the weights or the build, 2 wrong usage.
    Completion:  eval "$(_ARCHSPEC_COMPLETE=bash_source archspec)", or zsh_, fish_source
    """,
)
@click.version_option(__version__, prog_name="archspec", message="%(prog)s %(version)s")
def main() -> None:
    """Neural networks as short YAML specs: check, inspect, compare, build, train, predict.

    \b
    Examples:
      archspec show bert                        what is in a spec
      archspec validate my-model.yaml           every mistake, with its place
      archspec inspect bert                     what a model is and costs
      archspec app bert                         the same in a browser
      archspec diff resnet18 resnet34           what a change does
      archspec export bert --to python -o bert.py
    """


for _members in _SECTIONS.values():
    for _command in _members:
        main.add_command(_command)
