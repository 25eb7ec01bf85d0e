"""Finds how long a text may be for a model, by its tables, such as one of positions."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from archspec.builder import build
from archspec.data import ImageEncoder, TextEncoder
from archspec.errors import DataError, Problem
from archspec.lang.spec import Spec
from archspec.tracing.index_values import IndexValues
from archspec.tracing.meta_run import MetaRun

LONGEST = 8192  # tokens that are tried where nothing else limits a text
_TRIES = 3  # the tables of positions that there are need two


def fit_length(spec: Spec, encoder: TextEncoder | ImageEncoder, max_length: int | None) -> None:
    """Limit an encoder's texts to what the model's tables have rows for.

    A parameter of the spec may say more than that: RoBERTa's 514 positions are for 512 tokens.

    Args:
        max_length: what was asked for, which is not reduced.

    Raises:
        DataError: E905, ``max_length`` is too large.
    """
    if not isinstance(encoder, TextEncoder) or "input_ids" not in encoder.inputs:
        return
    longest = encoder.limit or max(LONGEST, encoder.max_length)
    for length in dict.fromkeys([longest, encoder.max_length]):
        limit = token_limit(spec, encoder.inputs, length)
        if limit is not None:
            break
    else:
        return
    if limit == length:
        return
    if limit < encoder.max_length and max_length is not None:
        message = f"a maximum length of {max_length:,}, but {spec.name} has {limit:,} positions"
        hint = f"give at most {limit}: max_length={limit} (--max-length {limit})" if limit else ""
        raise DataError(Problem("E905", message, hint=hint))
    encoder.shorten(limit)


def token_limit(spec: Spec, inputs: Sequence[str], length: int) -> int | None:
    """The largest number of tokens up to ``length`` that no table is too short for.

    The model is run on ``meta`` with as many, of which no value is known: tables that are indexed
    by anything but positions are taken to be long enough.

    Args:
        inputs: the inputs that a text becomes.

    Returns:
        None where the model cannot be run so; 0 where the tables are too short for any text.
    """
    model = build(spec, device="meta").eval()
    for _ in range(_TRIES):
        lookups: list[int] = []
        try:
            seen = IndexValues(lambda rows, i, to=lookups: to.append(i + 1 - rows))
            with torch.no_grad(), MetaRun(model), seen:
                ids = torch.empty(1, length, dtype=torch.int64, device="meta")
                model(**{name: ids if name == "input_ids" else torch.ones_like(ids)
                         for name in inputs})  # fmt: skip
        except Exception:  # such as a table of masks: what is run with values tells
            return None
        if not lookups:
            return length
        length = max(length - max(lookups), 0)
    return None
