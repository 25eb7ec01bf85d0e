"""Commands that report errors, group their options, and take options from a pydantic model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from archspec.cli import terminal
from archspec.errors import ArchspecError, UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from archspec.training.option_info import OptionInfo

F = TypeVar("F", bound=Callable[..., Any])
_METAVARS = {int: "INT", float: "FLOAT"}


class Command(click.Command):
    """A command that reports errors as the docs show them, with its exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ArchspecError as error:
            if ctx.params.get("as_json"):
                from archspec.cli import json_documents

                terminal.put_json(json_documents.of_error(error))
            else:
                terminal.put_error(error)
            ctx.exit(2 if isinstance(error, UsageError) else 1)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        groups = dict.fromkeys(getattr(one, "group", "") for one in options)
        if len(groups) <= 2:
            super().format_options(ctx, formatter)
            return
        for title in sorted(groups, key=lambda title: not title):  # those of no group come last
            members = [one for one in options if getattr(one, "group", "") == title]
            records = [record for one in members if (record := one.get_help_record(ctx))]
            with formatter.section(title or "Other options"):
                formatter.write_dl(records)


class GroupedOption(click.Option):
    """An option that help lists under the heading ``group``."""

    def __init__(self, *args: Any, group: str = "", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group = group


def option(*names: str, group: str = "", **settings: Any) -> Callable[[F], F]:
    """As ``click.option``, under a heading of the command's help."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


# Help and completion show choices and bounds; the model checks them, all at once.
class _Choice(click.Choice[str]):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


class _IntRange(click.IntRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.INT.convert(value, param, ctx)


class _FloatRange(click.FloatRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.FLOAT.convert(value, param, ctx)


def model_options(model: type[BaseModel]) -> list[GroupedOption]:
    """An option for each field of a model."""
    from archspec.training.option_info import option_infos

    return [_model_option(info) for info in option_infos(model).values()]


def _model_option(info: OptionInfo) -> GroupedOption:
    declarations = [info.flag] if info.type is not bool else [_switch(info)]
    if info.name == "output_dir":
        declarations.insert(0, "-o")
    settings: dict[str, Any] = {"is_flag": True} if info.type is bool else {"type": _type(info)}
    is_empty = info.default is None or info.default is False or info.default == ()
    return GroupedOption(
        declarations,
        group=info.group,
        help=info.description,
        metavar=info.metavar or (None if info.choices else _METAVARS.get(info.type)),
        multiple=info.repeated,
        default=None if is_empty else info.default,
        show_default=info.unset or not is_empty,
        **settings,
    )


def _switch(info: OptionInfo) -> str:
    return f"{info.flag}/--no-{info.flag[2:]}" if info.default is None else info.flag


def _type(info: OptionInfo) -> click.ParamType[Any]:
    if info.choices:
        return _Choice(info.choices)
    if info.type in (int, float):
        kind: Any = _IntRange if info.type is int else _FloatRange
        return kind(min=info.low, max=info.high, max_open=info.is_below)
    return click.STRING
