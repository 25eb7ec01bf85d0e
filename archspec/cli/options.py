"""The arguments and options that commands share, and the spec that they add up to."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.shell_completion import CompletionItem

from archspec.cli import terminal
from archspec.cli.command import option
from archspec.errors import Problem, UsageError
from archspec.report import option_help
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
        from archspec.lang.packaged import packaged_specs

        names = [name for name in packaged_specs() if name.startswith(incomplete)]
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
    return option(
        "--max-operations",
        metavar="INT",
        group="Model",
        type=click.IntRange(min=1),
        expose_value=False,
        callback=_allow_operations,
        show_default=f"{MAX_OPERATIONS:,}",
        help="Refuse a model whose forward pass takes more operations than this on the meta "
        "device. Also read from ARCHSPEC_MAX_OPERATIONS.",
    )(command)


def overrides(command: F) -> F:
    """Adds ``-p``, ``--model``, ``--adapter`` and ``--config``; the command takes ``given`` and
    ``config``."""

    @functools.wraps(command)
    def with_choices(
        *args: Any, given: tuple[str, ...], model: str | None, adapter: str | None, **kwargs: Any
    ) -> Any:
        pairs = (("model", model), ("adapter", adapter))
        chosen = (f"{name}={value}" for name, value in pairs if value is not None)
        return command(*args, given=(*given, *chosen), **kwargs)

    choice = option(
        "--model",
        metavar="BLOCK",
        show_default="from the spec",
        group="Model",
        help="Block to build as the root module, for a spec that defines several. Short for -p "
        "model=BLOCK.",
    )
    adapter = option(
        "--adapter",
        metavar="NAME|FOLDER|YAML",
        show_default="from the spec",
        group="Model",
        help=option_help.ADAPTER,
    )
    param = option(
        "-p",
        "--param",
        "given",
        metavar="NAME=VALUE",
        multiple=True,
        callback=_checked,
        group="Model",
        help="Set a parameter of the spec (a hyperparameter), such as num_labels=5. VALUE is "
        "parsed as YAML. May be repeated. Takes precedence over --config.",
    )
    config = option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        group="Model",
        help="Set parameters of the spec from a JSON file, such as a Hugging Face config.json.",
    )
    return cast(F, param(choice(adapter(config(with_choices)))))


def _sizes(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for text in given:
        name, _, size = text.partition("=")
        if not name or not size.isdecimal() or not size.isascii() or len(size) > 18:
            raise click.BadParameter(f"'{text}' is not of the form NAME=SIZE")
        sizes[name] = int(size)
    return sizes


batch = option(
    "--batch",
    metavar="INT",
    type=int,
    show_default="from the spec, or 1",
    group="Inputs",
    help="Batch size.",
)
dim = option(
    "--dim",
    "sizes",
    metavar="NAME=SIZE",
    multiple=True,
    callback=_sizes,
    group="Inputs",
    show_default="from the spec",
    help="Set the size of a symbolic dimension, such as seq. May be repeated.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
header = option("--header/--no-header", default=None, group="Data", help=option_help.HEADER)
encoding = option(
    "--encoding", metavar="NAME", show_default="utf-8", group="Data", help=option_help.ENCODING
)
freeze = option(
    "--freeze",
    metavar="PLAN|PATTERN",
    multiple=True,
    show_default=option_help.FREEZE_DEFAULT,
    group="Model",
    help=option_help.FREEZE,
)
output = click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    show_default="standard output",
    help="File to write. Overwritten if it exists.",
)
run_weights = option(
    "--weights",
    metavar="PATH",
    show_default="best, for a run",
    group="Weights",
    help="Checkpoint to load, required for a spec. For a run: best or last.",
)
tokenizer = option(
    "--tokenizer",
    metavar="FILE",
    show_default=option_help.TOKENIZER_DEFAULT,
    group="Model",
    help=option_help.TOKENIZER,
)
max_length = option(
    "--max-length",
    metavar="INT",
    type=int,
    show_default="from the run or the spec",
    group="Model",
    help=option_help.MAX_LENGTH,
)
layout = option(
    "--layout",
    metavar="LAYOUT",
    show_default=option_help.LAYOUT_DEFAULT,
    group="Weights",
    help=option_help.LAYOUT,
)
key = option(
    "--key",
    metavar="NAME",
    show_default=option_help.KEY_DEFAULT,
    group="Weights",
    help=option_help.KEY,
)
ignore = option(
    "--ignore", metavar="PATTERN", multiple=True, group="Weights", help=option_help.IGNORE
)
allow_missing = option(
    "--allow-missing",
    metavar="PATTERN",
    multiple=True,
    group="Weights",
    help=option_help.ALLOW_MISSING,
)
allow_partial = option(
    "--allow-partial", is_flag=True, group="Weights", help=option_help.ALLOW_PARTIAL
)


def _resizes(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        pattern, _, how = text.rpartition("=")
        if not pattern or not how:
            raise click.BadParameter(f"'{text}' is not of the form PATTERN=HOW")
        found[pattern] = how
    return found


resize = option(
    "--resize",
    metavar="PATTERN=HOW",
    multiple=True,
    group="Weights",
    callback=_resizes,
    help=option_help.RESIZE,
)


def loading(command: F) -> F:
    """Adds all options that say how a checkpoint is read, as ``build`` takes them."""
    for add in (resize, allow_partial, allow_missing, ignore, key, layout):
        command = add(command)
    return command


def device(*others: str) -> Callable[[F], F]:
    """Adds ``--device``, which takes ``others`` beside the CPU and CUDA."""
    *more, last = others
    names = ", ".join([option_help.DEVICE, *more])
    return option(
        "--device", metavar="NAME", default="auto", group="Hardware", help=f"{names} or {last}."
    )


def dims_with_batch(sizes: dict[str, int], batch: int | None) -> dict[str, int]:
    """What ``--dim`` and ``--batch`` say together.

    Raises:
        click.UsageError: both set the batch.
    """
    if batch is None:
        return sizes
    if "batch" in sizes:
        raise click.UsageError("the batch is given twice")
    return {**sizes, "batch": batch}


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
    from archspec.lang.layer_parts import entries

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
    """As ``load``; all keys of the file that say nothing about the function are reported."""
    from archspec.lang import spec
    from archspec.report.text import printable

    given = overrides.get("adapter")
    if given is not None and isinstance(given.value, str) and os.sep in given.value:
        from archspec.weights.adapter_files import with_folder

        others = {key: one for key, one in overrides.items() if one is not given}
        return with_folder(load_with(name, others, file), given.value)
    loaded = spec.load_with(name, overrides, file)
    if loaded.ignored:
        keys, source = ", ".join(loaded.ignored), file.name if file else name
        note = f"{source}: not read, as they do not change what {loaded.name} computes: {keys}"
        terminal.put(printable(note), err=True)
    return loaded
