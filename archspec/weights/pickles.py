"""What a pickle would make, found by walking through it without making anything.

``torch.load(weights_only=True)`` runs no code, but makes whatever a pickle says: a few hundred
bytes can nest a tuple so that to hash or to print it takes years. Here each value is known only by
its kind and its size, everything that is shared counted as often as it occurs.
"""

from __future__ import annotations

import io
import pickletools
import struct
from dataclasses import dataclass
from typing import IO, Any, Literal

MAX_SIZE = 10_000_000  # values and characters in a tuple
MAX_DEPTH = 100  # tuples in tuples
OPERATIONS_OF_A_TENSOR = 50  # that ``torch.save`` writes: 32 to 48

_HASHING = ("OrderedDict", "Counter", "set")
_HOLLOW = ("bytearray", "Tensor", "Storage")  # called, they take memory that the file has not


class Refused(ValueError):
    """A pickle that is damaged, or that no program writes for weights."""


@dataclass(slots=True, eq=False)
class _Value:
    """A value by its kind; ``value`` is that of an atom, ``simple`` a list of atoms only."""

    kind: Literal["atom", "tuple", "list", "dict", "global", "object"]
    value: Any = None
    parts: tuple[_Value, ...] = ()
    size: int = 1
    depth: int = 0
    simple: bool = True


_ATOM = _Value("atom")


def check(pickle: bytes | IO[bytes], max_bytes: int, max_values: int, max_operations: int) -> int:
    """Walk through one pickle, to its end.

    Args:
        pickle: its text, or a file at its beginning; afterwards the file is behind it.
        max_bytes: that it may have.
        max_values: that its storages may have, all of them together.
        max_operations: that it may have beside those of tensors.

    Returns:
        How many it has beside those.

    Raises:
        Refused: it is damaged, or asks for more than that.
    """
    walker = _Walker(max_values)
    opened: Any = _Limited(io.BytesIO(pickle) if isinstance(pickle, bytes) else pickle)
    count = 0
    try:
        for count, (operation, argument, at) in enumerate(pickletools.genops(opened)):
            # Only what has been met counts: an archive may have entries that no tensor is in.
            of_tensors = OPERATIONS_OF_A_TENSOR * len(walker.storages)
            if count - of_tensors > max_operations or (at or 0) > max_bytes:
                raise Refused("too much beside the tensors")
            walker.step(operation.name, argument)
    except (IndexError, KeyError, TypeError, struct.error, RecursionError, OverflowError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from None
    except Refused:
        raise
    except ValueError as error:
        raise Refused(str(error)) from None
    return max(0, count - OPERATIONS_OF_A_TENSOR * len(walker.storages))


class _Limited:
    """A pickle of which no single text or number is read that is beyond reason."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.tell = file, file.tell

    def read(self, count: int) -> bytes:
        if count > MAX_SIZE:
            raise Refused("too much beside the tensors")
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline(MAX_SIZE + 1)
        if len(line) > MAX_SIZE:
            raise Refused("too much beside the tensors")
        return line


class _Walker:
    """The stack machine of ``weights_only=True``."""

    def __init__(self, max_values: int) -> None:
        self.stack: list[_Value] = []
        self.below: list[list[_Value]] = []
        self.memo: dict[int, _Value] = {}
        self.storages: dict[object, int] = {}
        self.max_values = max_values

    def step(self, name: str, argument: Any) -> None:
        """One operation; a stack that is too short is an IndexError."""
        push, pop = self.stack.append, self.stack.pop
        match name:
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                push(self.memo[argument])
            case "BINUNICODE" | "SHORT_BINSTRING":
                push(_Value("atom", argument, size=1 + len(argument)))
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                push(_Value("atom", argument))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                push(_ATOM)
            case "EMPTY_LIST":
                push(_Value("list"))
            case "EMPTY_DICT":
                push(_Value("dict"))
            case "EMPTY_TUPLE" | "EMPTY_SET":
                push(_Value("tuple"))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                parts = [pop() for _ in range(int(name[-1]))]
                push(_tuple(parts[::-1]))
            case "MARK":
                self.below.append(self.stack)
                self.stack = []
            case "TUPLE":
                parts = self._marked()
                self.stack.append(_tuple(parts))
            case "APPEND" | "APPENDS":
                parts = [pop()] if name == "APPEND" else self._marked()
                self.stack[-1].simple &= all(part.kind == "atom" for part in parts)
            case "SETITEM" | "SETITEMS":
                parts = [pop(), pop()][::-1] if name == "SETITEM" else self._marked()
                _check_keys(parts[::2])
                _ = self.stack[-1]
            case "GLOBAL":
                push(_Value("global", argument))
            case "REDUCE" | "NEWOBJ":
                arguments = pop()
                _check_call(pop(), arguments)
                push(_Value("object"))
            case "BUILD":
                pop()
            case "BINPERSID":
                self._take_storage(pop())
                push(_Value("object"))
            case "PROTO" | "STOP":
                pass
            case "FRAME":
                raise Refused("a pickle of protocol 4 or later, where torch.save writes 2")
            case _:
                raise Refused(f"the operation {name}")

    def _marked(self) -> list[_Value]:
        parts, self.stack = self.stack, self.below.pop()
        return parts

    def _take_storage(self, where: _Value) -> None:
        """``("storage", type, key, device, values)``, in old files with a view behind it."""
        if where.kind != "tuple" or len(where.parts) not in (5, 6):
            raise Refused("no storage")
        parts = (*where.parts[:5], *(where.parts[5].parts if where.parts[5:] else ()))
        if any(part.kind not in ("atom", "global") for part in parts):
            raise Refused("no storage")
        name, _, key, _, count = (part.value for part in parts[:5])
        if name != "storage" or not isinstance(count, int) or count < 0:
            raise Refused("no storage")
        self.max_values -= max(0, count - self.storages.get(key, 0))
        self.storages[key] = max(count, self.storages.get(key, 0))
        if self.max_values < 0:
            raise Refused("storages larger than the file")


def _tuple(parts: list[_Value]) -> _Value:
    size = 1 + sum(part.size for part in parts)
    depth = 1 + max((part.depth for part in parts), default=0)
    if size > MAX_SIZE or depth > MAX_DEPTH:
        raise Refused("a tuple of tuples beyond reason")
    return _Value("tuple", None, tuple(parts), size, depth)


def _check_keys(keys: list[_Value]) -> None:
    if any(key.kind != "atom" for key in keys):
        raise Refused("a key that is neither text nor a number")


def _check_call(function: _Value, arguments: _Value) -> None:
    name = str(function.value).rpartition(" ")[2]
    if name.endswith(_HOLLOW):
        raise Refused(f"a call of {name}")
    if name in _HASHING:
        for part in arguments.parts:
            if part.kind != "dict" and not (part.kind == "list" and part.simple):
                raise Refused("a key that is neither text nor a number")
