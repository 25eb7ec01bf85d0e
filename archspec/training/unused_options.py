"""Options without an effect: whoever gives one expects that it has one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archspec.data import Data
from archspec.errors import Problem, UsageError
from archspec.training.data_source import OPEN_DATA_OPTIONS
from archspec.training.option_info import option_infos
from archspec.training.options import TrainOptions


def check_effect(kind: str, data: object, options: TrainOptions) -> None:
    """Whether each option that was given has an effect, as far as that can be known before reading.

    Args:
        kind: of the spec's task.
        data: as ``train`` was given it.
        options: as ``train`` was given them.

    Raises:
        UsageError: E801, every one that has none.
    """
    reasons: dict[str, str] = {}

    def refuse(names: Iterable[str], reason: str) -> None:
        reasons.update(dict.fromkeys(names, reason))

    if options.optimizer != "sgd":
        refuse(["momentum"], f"{options.optimizer} has none")
    if options.weights is None:
        names = ["layout", "key", "ignore", "allow_missing", "allow_partial"]
        refuse(names, "there are no weights to read")
    if kind == "image-classification":
        names = ["tokenizer", "max_length", "text_column", "text_pair_column"]
        refuse(names, "the spec's inputs are images")
    else:
        refuse(["num_workers", "image_column"], "the spec's inputs are texts")
    if isinstance(data, Data):
        refuse(OPEN_DATA_OPTIONS - {"seed"}, "the data is open, and open_data takes it")
    _refuse(reasons, options)


def check_validation(data: Data, options: TrainOptions) -> None:
    """Whether there is a split that ``monitor`` and ``patience`` go by.

    Raises:
        UsageError: E801, there is none, and one of them was given.
    """
    if "validation" not in data.splits:
        _refuse(dict.fromkeys(("monitor", "patience"), "there is no validation split"), options)


def _refuse(reasons: Mapping[str, str], options: TrainOptions) -> None:
    infos, given = option_infos(TrainOptions), options.given
    problems = [
        Problem("E801", f"{name} has no effect: {reasons[name]}", hint="leave it out")
        for name, info in infos.items()
        if name in reasons and name in given and (given[name] or given[name] != info.default)
    ]
    if problems:
        raise UsageError(problems)
