"""Finds the columns of images and of their masks."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.data.column_errors import ambiguous, existing_column, list_columns
from archspec.data.report import Columns
from archspec.data.tables import Table
from archspec.errors import DataError, Problem

IMAGE_NAMES = ("image", "img", "picture", "pixel_values")
MASK_NAMES = ("mask", "masks", "segmentation_mask", "segmentation", "annotation", "label", "labels")


def find_mask_columns(
    table: Table, holders: Sequence[str], image: str | None, mask: str | None, *, labelled: bool
) -> Columns:
    """The columns of images and masks.

    Args:
        holders: the columns that hold images.
        image, mask: as the user says; None: guess.
        labelled: whether masks are read.

    Raises:
        DataError: E902, there is no such column, or several are possible.
    """
    existing_column(table, image)
    existing_column(table, mask)
    if labelled and mask is None:
        mask = _named([name for name in holders if name != image], MASK_NAMES)
    others = [name for name in holders if name != mask]
    if image is None:
        image = table.image or _named(others, IMAGE_NAMES)
    if image is None:
        if len(others) != 1:
            raise ambiguous(table, "image", others)
        image = others[0]
    if labelled and mask is None:
        others = [name for name in others if name != image]
        if not others:
            message = f"{table.files[0]}: no masks beside the images"
            hint = (
                f"a folder masks beside images, or a column of their paths; {list_columns(table)}"
            )
            raise DataError(Problem("E902", message, hint=hint))
        if len(others) != 1:
            raise ambiguous(table, "label", others, "mask")
        mask = others[0]
    return Columns(image=image, label=mask)


def _named(candidates: Sequence[str], usual: Sequence[str]) -> str | None:
    found = [name for one in usual for name in candidates if name.casefold() == one]
    return found[0] if found else None
