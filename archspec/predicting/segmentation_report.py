"""What a segmentation gives: a class for each pixel of an image."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

_MAX_CLASSES = 20  # shown
_MAX_SUMMARY = 3


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationPrediction(Displayed):
    """What a model says of each pixel of an image.

    Attributes:
        mask: uint8 [height, width] of the image as it is shown, upright: class numbers.
        pixels: label → how many pixels have it, in the order of the classes.
    """

    mask: NDArray[np.uint8] = field(repr=False)
    pixels: Mapping[str, int]

    def png(self) -> bytes:
        """The mask as a grey PNG, whose values are class numbers."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(self.mask).save(file, "PNG")
        return file.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mask as ``png`` has it, in place of a file that is there.

        Raises:
            DataError: E931, it cannot be written.
        """
        from archspec.predicting.segmentation_files import write_mask

        write_mask(Path(path), self.png())

    @property
    def summary(self) -> tuple[str, str]:
        """The most frequent classes with their shares of the pixels."""
        shares = [f"{name} {share:.1%}" for name, share in self._shares() if share]
        more = len(shares) - _MAX_SUMMARY
        rest = [f"{more} more"] if more > 0 else []
        return ", ".join(shares[:_MAX_SUMMARY] + rest), ""

    def to_dict(self) -> dict[str, Any]:
        """Size and pixels of each class as plain data; ``mask`` has the classes themselves."""
        height, width = self.mask.shape
        return {"width": width, "height": height, "pixels": dict(self.pixels)}

    def _shares(self) -> list[tuple[str, float]]:
        found = sorted(self.pixels.items(), key=lambda item: -item[1])
        return [(name, count / self.mask.size) for name, count in found]

    def __rich__(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2, 0, 0))
        shares = self._shares()
        for name, share in shares[:_MAX_CLASSES]:
            count = f"{self.pixels[name]:,} pixels"
            table.add_row(Text(printable(name), style="bold"), count, f"{share:.1%}")
        if len(shares) > _MAX_CLASSES:
            table.add_row(f"… ({len(shares) - _MAX_CLASSES:,} more)")
        return table
