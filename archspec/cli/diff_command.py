"""``archspec diff`` and ``archspec patch``: what differs between two specs, and making it so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archspec.cli import options, terminal
from archspec.cli.command import Command

if TYPE_CHECKING:
    from archspec.differences import Diff

_LEVELS = ("spec", "tree", "tensors", "cost")
_FORMATS = ("text", "json", "markdown", "html")
_DIFFERENT, _TROUBLE = 1, 2


class _Compare(Command):
    """With ``--exit-code``, 1 says that the specs differ: mistakes in them have another status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit as end:
            failed = end.exit_code and not ctx.meta.get("archspec.different")
            if failed and ctx.params["exit_code"]:
                ctx.exit(_TROUBLE)
            raise


@click.command(cls=_Compare)
@click.argument("specs", metavar="A B", nargs=-1, required=True, type=options.SpecName())
@options.overrides
@click.option(
    "--level",
    "levels",
    type=click.Choice(_LEVELS),
    multiple=True,
    show_default="all",
    help="Level to compare, as listed above. May be repeated.",
)
@options.freeze
@click.option("--to", "form", type=click.Choice(_FORMATS), default="text", help="Output format.")
@options.as_json
@options.output
@click.option(
    "--exit-code", is_flag=True, help="Exit with status 1 if the specs differ, and 2 on errors."
)
@click.option("--git", is_flag=True, help="Run as an external diff driver for Git.")
def diff(
    specs: tuple[str, ...],
    given: tuple[str, ...],
    config: Path | None,
    levels: tuple[str, ...],
    freeze: tuple[str, ...],
    form: str,
    as_json: bool,
    output: Path | None,
    exit_code: bool,
    git: bool,
) -> None:
    """Show the differences between two specs.

    A and B are YAML files, names of packaged specs, or hf:FOLDER for Hugging Face model folders.
    The options -p, --config, --model and --adapter apply to B only, and --freeze to the costs of
    both.

    \b
    Levels:
      spec     the YAML; formatting, comments and the order of blocks are ignored
      tree     the module tree; an inserted layer counts as one change
      tensors  which tensors of a checkpoint of A can be loaded into B
      cost     parameters, MACs, memory and freeze plans

    The levels spec and tree do not import PyTorch.

    \b
    Examples:
      archspec diff resnet18 resnet34
      archspec diff bert bert -p num_labels=3
      archspec diff old.yaml new.yaml --level spec --exit-code
      archspec diff old.yaml new.yaml --to markdown
      git config diff.archspec.command 'archspec diff --git'
    """
    if git:
        from archspec.cli import git_driver

        git_driver.show(specs)
        return
    if len(specs) != 2:
        raise click.UsageError(f"two specs are compared, not {len(specs)}")
    from archspec import differences

    old = options.load(specs[0], (), None)
    new = options.load(specs[1], given, config)
    plan = options.plan(new, freeze)
    difference = differences.diff(old, new, levels=levels or _LEVELS, freeze=plan)
    _write(difference, "json" if as_json else form, output)
    if exit_code and difference:
        ctx = click.get_current_context()
        ctx.meta["archspec.different"] = True
        ctx.exit(_DIFFERENT)


def _write(difference: Diff, form: str, output: Path | None) -> None:
    match form:
        case "text" if output is None:
            terminal.put(difference.text(terminal.width()))
        case "text":
            terminal.write_text(f"{difference}\n", output)
        case "json":
            terminal.write_text(terminal.json_text(difference.to_dict()) + "\n", output)
        case "markdown":
            terminal.write_text(difference.to_markdown(), output)
        case _:
            terminal.write_text(difference.to_html(), output)


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@click.argument("patch", metavar="PATCH", type=click.Path(path_type=Path))
@options.overrides
@options.output
def patch(
    spec: str, patch: Path, given: tuple[str, ...], config: Path | None, output: Path | None
) -> None:
    """Apply the changes of a diff to another spec.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    PATCH is the output of 'archspec diff A B --json'. Applied to A, it gives a spec equal to B;
    applied to another spec, it makes the same changes there or reports where they do not apply. The
    options set SPEC as it is before the patch. The output contains what SPEC extends, and has no
    comments.

    \b
    Examples:
      archspec diff bert my-bert.yaml --json --level spec > change.json
      archspec patch other-bert.yaml change.json -o changed.yaml
    """
    from archspec.differences import patching

    loaded = options.load(spec, given, config)
    delta = patching.read_patch(patch)
    terminal.write_text(patching.patched_text(delta, loaded), output)
