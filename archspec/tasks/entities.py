"""Entities in a sequence of tags: BIO (IOB1, IOB2), BIOES, BILOU, or names of types alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

OUTSIDE = "O"
UNNAMED = "entity"  # the type where tags are B, I and O alone
_PREFIXED = re.compile(r"([BIESLU])(?:[-_](.+))?", re.DOTALL)


class Entity(NamedTuple):
    """Words that belong together: ``start`` is the first, ``end`` the one behind the last."""

    type: str
    start: int
    end: int


class TagScheme:
    """How a set of tags marks entities.

    With prefixes, the rules are those of the CoNLL shared tasks' ``conlleval``: an entity begins
    with ``B``, ``S`` or ``U``, with another type, and with any tag behind the end of another one.
    It ends with ``E``, ``L``, ``S`` or ``U``. Without prefixes, neighbours of one type are one.

    Args:
        labels: all tags.

    Attributes:
        types: of entities, sorted; none where every word has a type of its own, such as a part of
            speech, and no tag is ``O``.
        is_prefixed: whether tags begin with a letter that says where in an entity a word is.

    >>> scheme = TagScheme(["B-PER", "I-PER", "O", "B-LOC"])
    >>> scheme.types, scheme.entities(["B-PER", "I-PER", "B-PER", "O", "B-LOC"])[:2]
    (('LOC', 'PER'), [Entity(type='PER', start=0, end=2), Entity(type='PER', start=2, end=3)])
    >>> TagScheme(["NOUN", "VERB"]).types
    ()
    """

    def __init__(self, labels: Iterable[str]) -> None:
        every = {*labels}
        names = every - {OUTSIDE}
        has_outside = OUTSIDE in every
        self.is_prefixed = bool(names) and all(map(_PREFIXED.fullmatch, names))
        types = {self._parts(name)[1] for name in names}
        self.types = tuple(sorted(types)) if self.is_prefixed or has_outside else ()

    def entities(self, tags: Sequence[str]) -> list[Entity]:
        """The entities of a row, in order; none where the scheme has no types."""
        if not self.types:
            return []
        found: list[Entity] = []
        start, inside, previous = 0, "", ""
        for i, tag in enumerate([*tags, OUTSIDE]):
            prefix, kind = self._parts(tag)
            if inside and (kind != inside or prefix not in "IEL" or previous in "ESLU"):
                found.append(Entity(inside, start, i))
                inside = ""
            if kind and not inside:
                start, inside = i, kind
            previous = prefix
        return found

    def _parts(self, tag: str) -> tuple[str, str]:
        """The prefix and the type of a tag; both are empty of ``O``."""
        if tag == OUTSIDE:
            return OUTSIDE, ""
        match = _PREFIXED.fullmatch(tag) if self.is_prefixed else None
        return (match[1], match[2] or UNNAMED) if match else ("I", tag)
