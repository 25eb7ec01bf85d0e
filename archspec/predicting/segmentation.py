"""Segments images: tiles of an image in, a class for each of its pixels out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, stack

from archspec.data import ImageEncoder
from archspec.data.checking import Fault, image_fault
from archspec.data.extras import train_extra
from archspec.data.images import margin, resized, without_size_warnings
from archspec.data.masks import NO_CLASS
from archspec.errors import DataError, Problem
from archspec.predicting.batching import Prepared
from archspec.predicting.engine import NOT_FINITE, Engine
from archspec.predicting.segmentation_files import mask_folder, mask_name, write_mask
from archspec.predicting.segmentation_report import SegmentationPrediction
from archspec.tasks.objective import tensors_of

if TYPE_CHECKING:
    from PIL import Image

with train_extra():
    import pyarrow as pa

Place = tuple[int, int]  # left, top


class MaskSelector:
    """Selects the first output with four dimensions: [batch, height, width, classes]."""

    def __call__(self, output: Any) -> Tensor | None:
        maps = [one for one in tensors_of(output) if one.ndim == 4]
        return maps[0].movedim(1, -1) if maps else None


@dataclass(frozen=True, slots=True)
class _Tiles:
    """An image in the parts that the model takes.

    Attributes:
        size: width and height of the image.
        resized: the same as the model sees it, in front of the cropping.
        places: of each part there; outside of it, pixels are black.
        pixels: of each part, the model's input.
    """

    size: tuple[int, int]
    resized: tuple[int, int]
    places: list[Place]
    pixels: list[Tensor]


@dataclass(frozen=True, slots=True)
class PreparedTiles(Prepared):
    """Inputs whose batches are of tiles; the tiles of an image follow each other.

    Attributes:
        tiles: position → of a good input.
    """

    tiles: Mapping[int, _Tiles] = field(default_factory=dict[int, _Tiles])


def tile_starts(size: int, crop: int) -> list[int]:
    """Where tiles begin that cover so many pixels: as few as possible, evenly spaced.

    >>> tile_starts(32, 32), tile_starts(40, 32), tile_starts(30, 32)
    ([0], [0, 8], [-1])
    """
    if size <= crop:
        return [margin(size, crop)]
    last = -(-size // crop) - 1
    return [round(i * (size - crop) / last) for i in range(last + 1)]


def _tiles(encoder: ImageEncoder, image: Image.Image) -> _Tiles:
    settings, size = encoder.settings, image.size
    image = resized(encoder.converted(image), settings, encoder.resampling)
    crop = settings.crop
    starts = [tile_starts(one, crop) for one in image.size]
    places = [(left, top) for top in starts[1] for left in starts[0]]
    parts = [image.crop((x, y, x + crop, y + crop)) for x, y in places]
    return _Tiles(size, image.size, places, [*map(encoder.pixels, parts)])


def prepare_tiles(
    encoder: ImageEncoder,
    read: Callable[[int], Image.Image],
    count: int,
    batch_size: int,
    known_faults: Mapping[int, Fault] | None = None,
) -> PreparedTiles:
    """Make batches of tiles of images, in their order.

    Args:
        read: position → image; an error that it raises is a fault.
        count: number of images.
        known_faults: position → fault, of inputs that are already known to be bad.
    """
    faults = dict(known_faults or {})

    def prepared(i: int) -> _Tiles | Fault:
        try:
            return _tiles(encoder, read(i))
        except Exception as error:  # decoders of broken files raise errors of any type
            return image_fault(error)

    positions = [i for i in range(count) if i not in faults]
    with without_size_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = dict(zip(positions, pool.map(prepared, positions), strict=True))
    tiles = {i: one for i, one in results.items() if isinstance(one, _Tiles)}
    faults |= {i: one for i, one in results.items() if not isinstance(one, _Tiles)}
    pixels = [(i, part) for i, one in tiles.items() for part in one.pixels]
    groups = [pixels[i : i + batch_size] for i in range(0, len(pixels), batch_size)]
    batches = [
        (np.array([i for i, _ in group]), {encoder.name: stack([part for _, part in group])})
        for group in groups
    ]
    return PreparedTiles(count, batches, faults, tiles=tiles)


class Segmenter:
    """Makes predictions of what the engine says of tiles.

    Where tiles overlap, the mean of their probabilities counts.

    Raises:
        DataError: E906, there are more classes than a mask can have.
    """

    def __init__(self, engine: Engine, labels: Sequence[str]) -> None:
        self._engine, self._labels = engine, labels
        if len(labels) > NO_CLASS:
            message = f"{len(labels)} classes: a mask has at most {NO_CLASS}"
            raise DataError(Problem("E906", message))

    def predictions(
        self, prepared: PreparedTiles, advance: Callable[[int], object] = lambda count: None
    ) -> list[SegmentationPrediction | None]:
        """What the model says of each input; None where there is a fault."""
        found: list[SegmentationPrediction | None] = [None] * prepared.count
        scores = self._scores(prepared)
        for i, tiles in prepared.tiles.items():
            width, height = tiles.resized
            total = np.zeros((height, width, len(self._labels)), dtype=np.float32)
            for (left, top), part in zip(tiles.places, scores, strict=False):
                rows, above = _overlap(top, len(part), height)
                columns, before = _overlap(left, part.shape[1], width)
                total[rows, columns] += part[above, before]
            if np.isfinite(total).all():
                found[i] = self._prediction(total, tiles.size)
            else:
                prepared.faults[i] = NOT_FINITE
            advance(1)
        return found

    def _scores(self, prepared: PreparedTiles) -> Iterator[NDArray[np.float32]]:
        """The scores of each tile, in order: [crop, crop, classes]."""
        for scores in self._engine.each(prepared):
            yield from scores.numpy()

    def _prediction(
        self, total: NDArray[np.float32], size: tuple[int, int]
    ) -> SegmentationPrediction:
        from PIL import Image

        classes = Image.fromarray(total.argmax(-1).astype(np.uint8))
        mask = np.asarray(classes.resize(size, Image.Resampling.NEAREST))
        counts = np.bincount(mask.ravel(), minlength=len(self._labels)).tolist()
        return SegmentationPrediction(mask, dict(zip(self._labels, counts, strict=True)))


def _overlap(start: int, size: int, limit: int) -> tuple[slice, slice]:
    """Which of the first ``limit`` positions a part covers, and where these are in it."""
    first, last = max(start, 0), min(start + size, limit)
    return slice(first, last), slice(first - start, last - start)


class SegmentationColumns:
    """The columns that are added to a file: the path of each row's mask, and pixels by class.

    Args:
        out: the file that is written; masks go to a folder beside it.
        folder: where they are written meanwhile.

    Attributes:
        schema: their names and types.
        counts: label → how many pixels have it.
    """

    def __init__(self, segmenter: Segmenter, labels: Sequence[str], out: Path, folder: Path):
        self._segmenter, self._labels, self._folder = segmenter, labels, folder
        self._name, self._row = mask_folder(out).name, 0
        self.counts = dict.fromkeys(labels, 0)
        self.schema: dict[str, Any] = {"mask": pa.string()}
        self.schema |= {f"pixels_{label}": pa.int64() for label in labels}

    def columns(self, prepared: PreparedTiles, advance: Callable[[int], object]) -> list[Any]:
        """The columns of a window of rows, empty where there is a fault; writes their masks."""
        rows = self._segmenter.predictions(prepared, advance)
        paths: list[str | None] = []
        for row in rows:
            self._row += 1
            paths.append(None if row is None else f"{self._name}/{mask_name(self._row)}")
            if row is not None:
                write_mask(self._folder / mask_name(self._row), row.png())
                for label, count in row.pixels.items():
                    self.counts[label] += count
        counts = [
            pa.array([None if row is None else row.pixels[label] for row in rows], pa.int64())
            for label in self._labels
        ]
        return [pa.array(paths, pa.string()), *counts]
