"""What can go wrong, and how it is reported: codes, places, suggestions.

    ArchspecError
    ├── UsageError      a call's own arguments: an unknown device, a Spec where text was meant
    ├── SpecError       the spec: YAML, names, expressions, limits                 E1xx to E4xx
    ├── BuildError      making the module: construction, device, memory            E5xx
    │   └── ShapeError  tensors that do not fit together                           E510 to E519
    ├── WeightsError    checkpoints: unreadable files, tensors that do not fit     E6xx
    ├── FreezeError     freeze plans: unknown names, patterns that select nothing  E7xx
    ├── DataError       data: unreadable files, columns, splits, bad rows          E900 to E919
    │                   predictions: inputs, files that are written                E930 to E939
    └── RunError        training runs: folders, resuming, losses                   E920 to E929

One error carries every problem that could be found; ``code``, ``place``, ``message`` and ``hint``
are those of the first. Of ours, this module imports only what makes a text safe to print.
"""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any, Literal, cast

from archspec.report.text import printable

CODES: dict[str, str] = {
    # YAML
    "E101": "not valid YAML",
    "E102": "a key occurs twice",
    "E103": "YAML tags are not part of the language",
    "E104": "aliases expand beyond the limit",
    "E105": "the text is beyond the size or depth limit",
    "E106": "the file cannot be read",
    "E107": "not exactly one document",
    "E108": "no such spec",
    "E109": "a file outside of the spec's folder",
    "E110": "files go round in a circle",
    "E111": "remove or rename names nothing",
    "E112": "a patch does not fit",
    # structure and names
    "E201": "unknown key",
    "E202": "a value of the wrong kind, or a required key left out",
    "E203": "unknown argument",
    "E204": "a required argument is missing",
    "E205": "an argument's value does not fit",
    "E206": "unknown block or layer",
    "E207": "a name that cannot be used",
    "E208": "unknown parameter",
    "E209": "a parameter's value does not fit its declaration",
    "E210": "a required parameter has no value",
    "E211": "a block contains itself, or a method calls itself",
    "E212": "items, repeat, index or name used where they mean nothing",
    "E213": "a path that leads nowhere",
    "E214": "unknown initialiser",
    "E215": "a config file does not fit the spec",
    # expressions and forward steps
    "E301": "not an expression",
    "E302": "not part of the expression language",
    "E303": "unknown name",
    "E304": "unknown function or attribute",
    "E305": "a call that does not fit its function, block or layer",
    "E306": "an expression that cannot be evaluated",
    "E307": "an expression beyond the limits",
    "E308": "a forward step out of order",
    "E309": "a forward step calls a module that is left out",
    # limits
    "E401": "too many modules",
    "E402": "too many parameters",
    # building
    "E501": "a module cannot be constructed",
    "E502": "the device is not available",
    "E503": "the model does not fit into memory",
    "E504": "the generated source is refused",
    "E505": "a run on meta is beyond the limits",
    "E510": "shapes do not fit",
    "E511": "an input or output breaks its contract",
    "E512": "a forward step fails",
    # weights
    "E601": "the weights cannot be read",
    "E602": "tensors are missing or unexpected",
    "E603": "a tensor has another shape",
    "E604": "unknown or ambiguous checkpoint layout",
    "E605": "a layout gives two tensors one name",
    "E606": "a tensor has another kind of numbers",
    "E607": "a shared tensor has two values",
    "E608": "most of the model would stay as it is",
    "E609": "a layout is of models with other parameters",
    # freeze plans and patterns
    "E701": "a pattern selects nothing",
    "E702": "not a pattern",
    "E703": "unknown freeze plan",
    "E704": "a frozen tensor has moved",
    "E705": "nothing is trainable",
    "E706": "unknown adapter",
    "E707": "an adapter does not fit the model",
    # usage
    "E801": "the call cannot be understood",
    "E802": "activations do not fit on the disk",
    # data
    "E901": "the data cannot be read",
    "E902": "the columns are ambiguous",
    "E903": "too many bad rows",
    "E904": "the splits are ambiguous",
    "E905": "the tokenizer cannot be used",
    "E906": "the labels do not fit",
    "E907": "the data is for something that is not supported",
    # runs
    "E920": "the run cannot go on",
    "E921": "the run's folder cannot be written",
    "E922": "the loss is not finite",
    # predictions
    "E930": "an input cannot be predicted on",
    "E931": "the predictions cannot be written",
}


MAX_PROBLEMS = 100  # reported at once


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of a source text; ``line`` and ``column`` count from 1.

    ``end_column`` is the first column behind the stretch; ``source`` is the whole line.
    """

    file: str
    line: int
    column: int
    end_column: int
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Note:
    """A further fact about a problem, with a place of its own if it has one."""

    message: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: stable code, what is wrong, where, and what to do about it."""

    code: str
    message: str
    place: Place | None = None
    hint: str = ""
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        assert self.code in CODES, self.code

    def __str__(self) -> str:
        head = f"error[{self.code}]: {_printable(self.message)}"
        if self.place is None:
            lines = [head, *([f"  {_printable(self.hint)}"] if self.hint else [])]
        else:
            lines = [f"{_printable(str(self.place))}: {head}", *_excerpt(self.place, self.hint)]
        for note in self.notes:
            at = f"{_printable(str(note.place))}: " if note.place else ""
            lines.append(f"  {at}{_printable(note.message)}")
            if note.place:
                lines += _excerpt(note.place, "")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The problem as plain data, for ``--json``."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            **place_fields(self.place),
            "notes": [{"message": n.message, **place_fields(n.place)} for n in self.notes],
        }


class ArchspecError(Exception):
    """Base of every error that archspec raises on purpose.

    Attributes:
        problems: what was found, in the order of the places; never empty, and no more than
            ``MAX_PROBLEMS``.
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        found = tuple([problems] if isinstance(problems, Problem) else problems)
        if len(found) > MAX_PROBLEMS:
            last = found[MAX_PROBLEMS - 1]
            more = Note(f"there are more problems: these are the first {MAX_PROBLEMS}")
            found = (*found[: MAX_PROBLEMS - 1], replace(last, notes=(*last.notes, more)))
        self.problems = found
        super().__init__(self.problems)

    @property
    def code(self) -> str:
        return self.problems[0].code

    @property
    def place(self) -> Place | None:
        return self.problems[0].place

    @property
    def message(self) -> str:
        return self.problems[0].message

    @property
    def hint(self) -> str:
        return self.problems[0].hint

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.problems))


class UsageError(ArchspecError):
    """The arguments of a call make no sense, whatever the spec says."""


class SpecError(ArchspecError):
    """The spec is wrong: its YAML, its names, its expressions or its size."""


class BuildError(ArchspecError):
    """The spec reads well, yet no module can be made of it here."""


class ShapeError(BuildError):
    """Tensors that meet in a forward step do not fit together."""


class WeightsError(ArchspecError):
    """A checkpoint cannot be read, or does not fit the model."""


class FreezeError(ArchspecError):
    """A freeze plan does not fit the model, or what it froze has moved."""


class DataError(ArchspecError):
    """Data cannot be read, or is not what a model can learn from."""


class RunError(ArchspecError):
    """A training run cannot be found, resumed, written down, or has diverged."""


class TooManyProblems(Exception):
    """Ends the search for problems: more of them would help nobody."""


class Findings:
    """The problems found so far: each once, and no more than anybody reads.

    Attributes:
        broken: the paths of declarations that have a problem of their own. Whatever refers to one
            of them gives no further problem: nothing is known of it.
    """

    def __init__(self) -> None:
        self.broken: set[tuple[str | int, ...]] = set()
        self._found: dict[tuple[str, str, Place | None], Problem] = {}

    def add(self, *problems: Problem) -> None:
        """Take note of problems.

        Raises:
            TooManyProblems: there are more than ``MAX_PROBLEMS``.
        """
        for problem in problems:
            # Checks that know more come first: their hint and notes stay.
            self._found.setdefault((problem.code, problem.message, problem.place), problem)
            if len(self._found) > MAX_PROBLEMS:
                raise TooManyProblems

    def is_broken(self, path: tuple[str | int, ...]) -> bool:
        """Whether the declaration at ``path``, or one that holds it, has a problem of its own."""
        return bool(self.broken) and any(path[:i] in self.broken for i in range(1, len(path) + 1))

    def is_broken_below(self, path: tuple[str | int, ...]) -> bool:
        """Whether something at ``path`` or inside it has a problem of its own."""
        return any(broken[: len(path)] == path for broken in self.broken) or self.is_broken(path)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def in_order(self) -> list[Problem]:
        """By file, line and column."""
        return sorted(
            self,
            key=lambda p: (p.place.file, p.place.line, p.place.column) if p.place else ("", 0, 0),
        )


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """The nearest candidates as a hint, or "" if none is near.

    >>> did_you_mean("in_feature", ["in_features", "out_features"])
    "did you mean 'in_features'?"
    >>> did_you_mean("GLEU", ["GELU", "GLU", "ELU"])
    "did you mean 'GELU' or 'GLU'?"
    """
    *most, last = [repr(near) for near in near_misses(name, candidates)] or [""]
    if not last:
        return ""
    return f"did you mean {', '.join(most)} or {last}?" if most else f"did you mean {last}?"


def near_misses(name: str, candidates: Iterable[str]) -> list[str]:
    """The candidates that the fewest changed letters tell from ``name``; none if that is too many.

    >>> near_misses("momentun", ["momentum", "eps"])
    ['momentum']
    """
    if len(name) > _LONGEST_NAME:
        return []
    names = dict.fromkeys(islice(candidates, _MOST_NAMES))
    known = [c for c in names if len(c) <= _LONGEST_NAME]
    pairs = _pairs(name)
    # Distances are slow: only those are measured that share most pairs of letters.
    likely = heapq.nlargest(8, known, key=lambda c: 2 * len(pairs & _pairs(c)) - len(c))
    near = difflib.get_close_matches(name, likely, n=8, cutoff=0.6)
    if not near:
        folded = {c.casefold().replace("_", ""): c for c in known}
        return [c for c in [folded.get(name.casefold().replace("_", ""))] if c]
    distances = {candidate: _distance(name, candidate) for candidate in near}
    least = min(distances.values())
    return sorted(candidate for candidate in near if distances[candidate] == least)[:_MOST_NEAR]


def _distance(a: str, b: str) -> int:
    """Letters that are left out, added, changed or swapped with their neighbour from a to b."""
    before, last = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        row = [i]
        for j, d in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (c != d)))
            if i > 1 and j > 1 and (c, a[i - 2]) == (b[j - 2], d):
                row[-1] = min(row[-1], before[j - 2] + 1)
        before, last = last, row
    return last[-1]


_MOST_NEAR = 3
_LONGEST_NAME = 60
_MOST_NAMES = 800


@lru_cache(maxsize=_MOST_NAMES)
def _pairs(name: str) -> frozenset[str]:
    """The letters of a name, and each two that stand together."""
    return frozenset((*name, *map("".join, pairwise(name))))


def listing(names: Sequence[str], most: int = 8, sign: str = ", ") -> str:
    """``a, b, c`` of at most ``most`` names, saying how many more there are."""
    shown = sign.join(names[:most])
    return f"{shown}{sign}… ({len(names) - most} more)" if len(names) > most else shown


def shown(value: object) -> str:
    """A value in a message, as YAML would write it."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case tuple() | list():
            text = f"[{', '.join(map(shown, cast('Sequence[object]', value)))}]"
        case dict():
            text = "a mapping"
        case int() if value.bit_length() > 256:
            text = "a huge integer"
        case int() | float() | str():
            text = repr(value)
        case _:
            text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}…"


_MAX_LINE = 1_000  # characters of a message or a hint
_WIDTH = 160  # a longer source line is shown as a window around the place


def _excerpt(place: Place, hint: str) -> list[str]:
    start = max(0, place.column - 1 - _WIDTH // 2) if len(place.source) > _WIDTH else 0
    line = _printable(place.source[start : start + _WIDTH])
    column = place.column - 1 - start
    width = max(1, min(place.end_column - place.column, len(line) - column))
    caret = f"{'':5} | {' ' * column}{'^' * width}"
    return [f"{place.line:5} | {line}", f"{caret} {_printable(hint)}".rstrip()]


def _printable(text: str) -> str:
    """One line, which a hostile file cannot use to rewrite the reader's terminal."""
    if len(text) > _MAX_LINE:
        text = f"{text[:_MAX_LINE]}…"
    return printable(text.replace("\t", " ").replace("\n", " "))


def place_fields(
    place: Place | None, *names: Literal["file", "line", "column", "end_column"]
) -> dict[str, Any]:
    """A place as fields of a JSON object, null where there is none.

    Args:
        place: or None.
        names: of the fields; left out, file, line and column.

    >>> place_fields(None, "file", "line")
    {'file': None, 'line': None}
    """
    return {name: getattr(place, name, None) for name in names or ("file", "line", "column")}
