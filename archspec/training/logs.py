"""The scores of a run for other programs: a CSV file and a TensorBoard file."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.summary.writer.record_writer import RecordWriter

_SCORES = ("loss", "accuracy", "macro_f1")
_COLUMNS = ("step", "train/loss", "learning_rate", *(f"validation/{name}" for name in _SCORES))


class Logs:
    """Writes both files; a full disk ends them, not the run.

    Args:
        folder: gets a folder for each; a resumed run begins files of its own.
        report: writes a line.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self.folder, self.report = folder, report
        self._table: IO[str] | None = None
        self._events: IO[bytes] | None = None
        self._is_lost = False

    def record(self, values: Mapping[str, float], step: int) -> None:
        """Add the values of a step."""
        if self._is_lost:
            return
        try:
            self._open()
            self._write(values, step)
        except OSError as error:
            self._is_lost = True
            self.close()
            self.report(f"{self.folder}: logging has ended: {error.strerror or error}")

    def close(self) -> None:
        """Close the files."""
        for file in (self._table, self._events):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()
        self._table = self._events = None

    def _open(self) -> None:
        if self._events is not None:
            return
        number = len(list(self.folder.glob("csv-*"))) + 1
        places = [self.folder / f"{kind}-{number}" for kind in ("csv", "tensorboard")]
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.archspec"
        table = places[0] / "metrics.csv"
        self._table = table.open("a", encoding="utf-8", newline="")  # until close
        self._events = (places[1] / name).open("ab")
        csv.writer(self._table).writerow(_COLUMNS)
        self._put(file_version="brain.Event:2")

    def _write(self, values: Mapping[str, float], step: int) -> None:
        assert self._table is not None and self._events is not None
        csv.DictWriter(self._table, _COLUMNS).writerow({"step": step, **values})
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._put(step=step, summary=Summary(value=scalars))
        self._table.flush()
        self._events.flush()

    def _put(self, **content: Any) -> None:
        event = Event(wall_time=time.time(), **content)
        RecordWriter(self._events).write(event.SerializeToString())
