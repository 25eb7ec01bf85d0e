"""A digest of data: the same whenever the same rows are opened in the same way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from archspec.data.report import Columns, Rows

_VERSION = 1


def fingerprint(
    kind: str,
    columns: Columns,
    names: Sequence[str],
    splits: Mapping[str, Rows],
    digests: Mapping[str, Sequence[bytes]],
    rule: str,
) -> str:
    """SHA-256 of everything that decides what a model sees, 64 hexadecimal digits.

    Args:
        digests: split → a digest of each row's text or image file.
    """
    facts = {
        "version": _VERSION, "task": kind, "columns": _named(columns), "labels": list(names),
        "rule": rule, "splits": {name: len(rows) for name, rows in splits.items()},
    }  # fmt: skip
    hasher = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(splits):
        for row_digest in digests[name]:
            hasher.update(row_digest)
        labels = splits[name].labels
        for of_rows in () if labels is None else labels if labels.dtype == object else (labels,):
            kind = "<f8" if of_rows.dtype.kind == "f" else "<i8"
            hasher.update(of_rows.astype(kind).tobytes())
    return hasher.hexdigest()


def _named(columns: Columns) -> dict[str, str | None]:
    """The columns, with other texts only where there are some: older digests stay valid."""
    optional = ("text_pair", "negative", "answer_start")
    pairs = asdict(columns).items()
    return {role: name for role, name in pairs if name is not None or role not in optional}
