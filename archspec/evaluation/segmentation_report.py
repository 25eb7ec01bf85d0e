"""The report on a trained segmentation: figures of each class, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archspec.tasks.objective import Scores


def segmentation_report(labels: Sequence[str], scores: Mapping[str, Scores]) -> dict[str, Any]:
    """What the best weights do on each split, as plain data.

    Args:
        labels: the classes.
        scores: of each split, as ``image-segmentation`` makes them: each class has its IoU,
            precision, recall and true pixels, and ``confusion`` counts pixels.
    """
    return {
        "labels": list(labels),
        "unit": "pixels",
        "splits": {name: of_split.to_dict() for name, of_split in scores.items()},
    }
