"""The program ``archspec``: ``main`` is its entry point.

Exit status: 0 success, 1 errors in the spec, the weights, the data or the build, 2 invalid usage,
130 interrupted.
"""

from __future__ import annotations

import gc
from typing import Any

import click

from archspec import __version__
from archspec.cli import (
    app_command,
    diff_command,
    draw_command,
    freeze_command,
    inspect_command,
    lock_command,
    merge_command,
    predict_command,
    search_command,
    spec_commands,
    sweep_command,
    terminal,
    train_commands,
    weights_commands,
)

_SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Inspect": (
        app_command.app,
        spec_commands.list_specs,
        spec_commands.show,
        spec_commands.validate,
        inspect_command.inspect,
        freeze_command.freeze,
        draw_command.draw,
    ),
    "Compare": (diff_command.diff, diff_command.patch, lock_command.lock, weights_commands.weights),
    "Build": (spec_commands.build, spec_commands.export),
    "Train": (
        train_commands.train,
        train_commands.resume,
        train_commands.runs,
        sweep_command.sweep,
        merge_command.merge,
    ),
    "Predict": (predict_command.predict, search_command.search),
    "Edit": (spec_commands.schema,),
}


class Program(click.Group):
    """A group that lists its commands by purpose, and ends as programs of a shell do."""

    def invoke(self, ctx: click.Context) -> Any:
        ctx.color = terminal.prepare()
        gc.set_threshold(10_000)  # most of what is imported and made stays; 700 costs a tenth
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
    SPEC is a YAML file, the name of a packaged spec ('archspec list' shows them), or hf:FOLDER for
    a Hugging Face model folder. Run 'archspec COMMAND --help' for the options of a command.

    \b
    Exit status:
      0    success
      1    error in the spec, the weights, the data or the build
      2    invalid usage
      130  interrupted

    \b
    Shell completion, for bash; zsh_source and fish_source are for those shells:
      eval "$(_ARCHSPEC_COMPLETE=bash_source archspec)"
    """,
)
@click.version_option(__version__, prog_name="archspec", message="%(prog)s %(version)s")
def main() -> None:
    """Neural networks as short YAML specs: check, inspect, compare, build, train and run them.

    \b
    Examples:
      archspec show bert                        show a spec with all values resolved
      archspec validate my-model.yaml           check a spec
      archspec inspect bert                     show parameters, shapes, MACs and memory
      archspec app bert                         open the inspector in a browser
      archspec diff resnet18 resnet34           compare two specs
      archspec export bert --to python          print its PyTorch code
    """


for _members in _SECTIONS.values():
    for _command in _members:
        main.add_command(_command)
