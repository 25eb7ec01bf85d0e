"""What is in a model for one input, as plain data for the page."""

from __future__ import annotations

from typing import Any

import archspec
from archspec.errors import Problem, UsageError
from archspec.predicting.activations import Activations, AttentionMap, ModuleActivation
from archspec.tasks import takes_images

MAX_MODULES = 2_000
MAX_POSITIONS = 48
"""Queries and keys of an attention map that are shown."""


def activation_data(
    model: archspec.Predictor, text: str, second: str, image: bytes, chosen: int
) -> dict[str, Any]:
    """Figures of the outputs of all modules, and one attention map.

    Args:
        model: of any task.
        text, second: what a model of texts takes; ``second`` is "" for a single text.
        image: the content of a file, for a model of images.
        chosen: the number of the attention map; another one if there are fewer.

    Returns:
        ``tokens``, the first names; ``modules``, as ``ModuleActivation`` has them, with ``module``
        for the path, those with notes if there are too many, and ``left_out``, how many;
        ``maps``, each with ``module``, ``source``, ``heads``, ``queries`` and ``keys``; ``map``,
        None if there is none: ``index`` and ``weights`` [heads, queries, keys]; ``notes``.

    Raises:
        UsageError: E801, the model takes something else.
    """
    found = model.activations(_input(model, text, second, image))
    noted_first = sorted(found.modules, key=lambda one: not one.notes)[:MAX_MODULES]
    kept = {one.path for one in noted_first}
    return {
        "kind": "inside",
        "tokens": [*found.tokens[:MAX_POSITIONS]],
        "modules": [_figures(one) for one in found.modules if one.path in kept],
        "left_out": len(found.modules) - len(kept),
        "maps": [_about(one) for one in found.attention],
        "map": _map(found, chosen),
        "notes": [*found.notes],
    }


def _input(model: archspec.Predictor, text: str, second: str, image: bytes) -> Any:
    if takes_images(model.kind):
        if not image:
            raise UsageError(Problem("E801", f"{model.spec.name} takes images: choose one"))
        return image
    if not text.strip():
        raise UsageError(Problem("E801", "enter a text"))
    if model.pair and not second:
        hint = "enter the second text"
        raise UsageError(Problem("E801", f"{model.spec.name} takes pairs of texts", hint=hint))
    return (text, second) if second and model.pair is not False else text


def _figures(one: ModuleActivation) -> dict[str, Any]:
    figures = one.to_dict()
    return {"module": figures.pop("path"), **figures}  # the page takes a "path" for a file


def _about(one: AttentionMap) -> dict[str, Any]:
    return {
        "module": one.path,
        "source": one.source,
        "heads": len(one.weights),
        "queries": one.queries,
        "keys": one.keys,
    }


def _map(found: Activations, chosen: int) -> dict[str, Any] | None:
    if not found.attention:
        return None
    index = min(max(chosen, 0), len(found.attention) - 1)
    weights = found.attention[index].weights[:, :MAX_POSITIONS, :MAX_POSITIONS]
    rounded: Any = weights.double().mul(1e4).round().div(1e4).tolist()
    return {"index": index, "weights": rounded}
