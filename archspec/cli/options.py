"""The arguments and options that commands share, and the spec that they add up to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from archspec.cli import terminal
from archspec.errors import Problem, UsageError
from archspec.tracing.limits import MAX_OPERATIONS, VARIABLE

if TYPE_CHECKING:
    from archspec.lang.json_file import JsonFile
    from archspec.lang.params import Override
    from archspec.lang.spec import Spec

F = TypeVar("F", bound=Callable[..., Any])


class SpecName(click.ParamType):
    """A path or a packaged spec's name; shells complete both."""

    name = "spec"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from archspec.lang.inherit import packaged_names

        names = [name for name in packaged_names() if name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


def _checked(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for text in given:
        if "=" not in text:
            raise click.BadParameter(f"'{text}' is not of the form NAME=VALUE")
    return given


def _allow_operations(ctx: click.Context, param: click.Parameter, given: int | None) -> None:
    if given is not None:
        os.environ[VARIABLE] = str(given)


def max_operations(command: F) -> F:
    """Adds ``--max-operations``, which raises the limit of a run on ``meta``."""
    return click.option(
        "--max-operations",
        metavar="N",
        type=click.IntRange(min=1),
        expose_value=False,
        callback=_allow_operations,
        help=f"Operations that one run on meta may take. [default: {MAX_OPERATIONS:,}]",
    )(command)


def overrides(command: F) -> F:
    """Adds ``-p`` and ``--config``; the command takes ``given`` and ``config``."""
    options = [
        click.option(
            "-p",
            "--param",
            "given",
            metavar="NAME=VALUE",
            multiple=True,
            callback=_checked,
            help="Set a parameter; the value is read as YAML. May be repeated, wins over --config.",
        ),
        click.option(
            "--config",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Set parameters from a JSON file, such as Hugging Face's config.json.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _sizes(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in given:
        name, _, size = text.partition("=")
        if not name or not size.isdecimal() or not size.isascii() or len(size) > 18:
            raise click.BadParameter(f"'{text}' is not of the form NAME=SIZE")
        found[name] = int(size)
    return found


dim = click.option(
    "--dim",
    "sizes",
    metavar="NAME=SIZE",
    multiple=True,
    callback=_sizes,
    help="Size of a dimension, instead of the spec's. May be repeated.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
header = click.option(
    "--header/--no-header",
    default=None,
    help="First line of a CSV or TSV: names of columns, or a row. [default: names, if it can be]",
)
encoding = click.option(
    "--encoding", metavar="NAME", help="Encoding of text files, such as cp1252. [default: utf-8]"
)
freeze = click.option(
    "--freeze",
    metavar="PLAN|PATTERN",
    multiple=True,
    help="One of the spec's freeze plans, or a pattern; patterns may be repeated.",
)
output = click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write to FILE, replacing it; standard output if left out.",
)


key = click.option(
    "--key",
    metavar="NAME",
    help="Key under which the file has the weights, such as params_ema or teacher. "
    "[default: state_dict, model_state_dict, model, or none]",
)
partial = click.option(
    "--partial", is_flag=True, help="Allow weights that leave most of the model as it is."
)


def plan(spec: Spec, given: Sequence[str]) -> str | list[str] | None:
    """What is meant by the words given for a freeze plan: one's name, patterns, or nothing.

    A single word that neither is a plan nor selects anything is taken for a misspelt name.

    Raises:
        UsageError: E801, a plan's name beside other words.
    """
    if len(given) != 1:
        _check_alone(spec, given)
        return list(given) or None
    return (
        given[0] if given[0] in spec.architecture.freeze or _is_name(spec, given[0]) else [*given]
    )


def _check_alone(spec: Spec, given: Sequence[str]) -> None:
    for word in given:
        if word in spec.architecture.freeze and _is_name(spec, word):
            message = f"'{word}' is a freeze plan, which takes nothing beside it"
            raise UsageError(Problem("E801", message, hint="one plan at a time, or patterns"))


def _is_name(spec: Spec, word: str) -> bool:
    from archspec.lang import patterns
    from archspec.lang.instances import entries

    if not word.replace("-", "_").isidentifier():
        return False
    return not patterns.Tree(entries(spec.root)).select(patterns.parse(word))


def given_values(
    given: Sequence[str], config: Path | None
) -> tuple[dict[str, Override], JsonFile | None]:
    """What ``-p`` and ``--config`` say.

    Raises:
        SpecError: the file or a value cannot be read.
    """
    from archspec.lang import json_file
    from archspec.lang.params import overrides_from_options

    file = json_file.read(config) if config is not None else None
    return overrides_from_options(given), file


def load(name: str, given: Sequence[str], config: Path | None) -> Spec:
    """The spec with what ``-p`` and ``--config`` say; ``-p`` wins.

    Raises:
        SpecError: every problem that could be found.
    """
    return load_with(name, *given_values(given, config))


def load_with(name: str, overrides: Mapping[str, Override], file: JsonFile | None) -> Spec:
    """As ``load``; all keys of the file that say nothing about the function are told."""
    from archspec.lang import spec
    from archspec.report.text import printable

    loaded = spec.load_with(name, overrides, file)
    if file is not None and loaded.ignored:
        keys = ", ".join(loaded.ignored)
        note = f"{file.name}: not read, as they do not change what {loaded.name} computes: {keys}"
        terminal.put(printable(note), err=True)
    return loaded
