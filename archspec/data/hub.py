"""Opens data sets of the Hugging Face hub, ``owner/name`` or ``owner/name:subset``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from archspec.data.extras import train_extra
from archspec.data.tables import Splits, as_table
from archspec.errors import DataError, Problem
from archspec.report.text import first_line

with train_extra():
    import datasets
    import huggingface_hub
    from datasets import config
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

# A name without an owner is not looked up: `datasets` has loaders called "csv" or "pandas", which
# would read the working folder.
_NAME = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?::([\w.-]+))?", re.ASCII)
_TIMEOUT = 5.0  # seconds, to check that the data set exists
_LOGGERS = ("datasets", "huggingface_hub", "httpx", "fsspec")


def is_hub_name(source: str) -> bool:
    """Whether a source could be a name on the hub.

    >>> [is_hub_name(name) for name in ("owner/name", "owner/name:subset", "csv", "a/b/c")]
    [True, True, False, False]
    """
    return _NAME.fullmatch(source) is not None


def on_hub(name: str) -> Splits:
    """The splits of a data set.

    Raises:
        DataError: E901, there is none, or the hub cannot be reached.
    """
    match = _NAME.fullmatch(name)
    assert match is not None
    repository, subset = match.groups()
    with _quiet():
        _check(name, repository)
        try:
            splits: Any = datasets.load_dataset(repository, subset)
        except Exception as error:  # many libraries are involved
            raise _unavailable(name, f"cannot be read from the hub: {first_line(error)}") from None
    if not isinstance(splits, Mapping):
        raise DataError(Problem("E901", f"{name}: not a data set with splits"))
    return {str(split): partial(as_table, rows, str(split)) for split, rows in splits.items()}


def _check(name: str, repository: str) -> None:
    """Check that it exists, with a timeout: `load_dataset` would retry for a long time."""
    if config.HF_HUB_OFFLINE:
        return  # it may have been downloaded before
    try:
        huggingface_hub.HfApi().dataset_info(repository, timeout=_TIMEOUT)
    except GatedRepoError:
        raise _unavailable(
            name, "its owners ask for a sign-in", "'hf auth login' signs in"
        ) from None
    except RepositoryNotFoundError:
        raise _unavailable(name, "no such data set on the hub") from None
    except Exception as error:
        hint = "HF_HUB_OFFLINE=1 takes what was fetched before"
        raise _unavailable(
            name, f"the hub could not be reached: {first_line(error)}", hint
        ) from None


def _unavailable(name: str, message: str, hint: str = "") -> DataError:
    there = "there is no such file or folder either"
    return DataError(Problem("E901", f"{name}: {message}", hint=f"{there}; {hint}".rstrip("; ")))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the libraries log about each attempt."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
