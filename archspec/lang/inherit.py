"""Where specs are found, and how a spec is joined with the parent it extends.

The result is one document tree whose every node still knows the file and line that it came from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from archspec.errors import Note, Place, Problem, SpecError, did_you_mean
from archspec.lang import yaml
from archspec.lang.like import with_likes
from archspec.lang.merging import merge_mappings, without_removed
from archspec.lang.packaged import (
    find_packaged,
    is_packaged,
    packaged_folder,
    packaged_specs,
)
from archspec.lang.renaming import with_renamed
from archspec.lang.yaml import Entry, Listing, Mapping, Node, Scalar, find

MAX_PARENTS = 16
MAX_FILES = 100  # that one spec extends and uses, all together
MAX_NODES = 40_000  # keys and values of these, twice what one file may have
MAX_SEARCHED = 10_000  # characters
_JOINING = ("extends", "remove", "rename", "use")
_ABOUT_FILES = frozenset({"description", "extends", "paper", "remove", "use"})  # speak of no block
_WORD = re.compile(r"[A-Za-z_]\w*")
_SHOWN_BY_LIST = "'archspec list' shows the packaged specs"


@dataclass(frozen=True, slots=True)
class Document:
    """A spec's text as a tree, its parents merged in.

    Attributes:
        name: what the spec is called: its file's name without the suffix.
        root: the merged tree.
        files: the paths that were read, the spec's own first; empty for text.
        whole: the tree before a root was chosen; None if that is ``root``.
    """

    name: str
    root: Mapping
    files: tuple[Path, ...] = ()
    whole: Mapping | None = None

    def place(self, path: yaml.Path, *, key: bool = False) -> Place:
        """Where the value at ``path`` (or its key) stands."""
        return yaml.place_of(self.root, path, key=key)

    def is_inherited(self, path: yaml.Path) -> bool:
        """Whether the key at ``path`` stands in another file than the spec itself."""
        return self.place(path, key=True).file != self.place(()).file

    def excerpt(self, path: yaml.Path, around: int = 0) -> yaml.Excerpt:
        """The lines of what stands at ``path``, in the file that says it."""
        return yaml.excerpt(self.root, path, around)

    def has(self, path: yaml.Path) -> bool:
        return yaml.find(self.root, path) is not None

    def problem(
        self,
        code: str,
        message: str,
        path: yaml.Path,
        *,
        key: bool = False,
        hint: str = "",
        cause: yaml.Path = (),
    ) -> Problem:
        """A problem at ``path``; ``cause`` is where that stands which it does not agree with."""
        place = self.place(path, key=key)
        return Problem(code, message, place, hint, self.elsewhere(cause, place))

    def elsewhere(self, cause: yaml.Path, place: Place) -> tuple[Note, ...]:
        """A note on the declaration at ``cause``, if that is in another file than ``place``."""
        declared = self.place(cause, key=True) if cause else place
        return (Note("declared here", declared),) if declared.file != place.file else ()

    def sources(self) -> dict[str, str]:
        """The texts of the files that this is made of, by the names that users are shown."""
        return {name: file.text for name, file in yaml.sources(self.root).items()}

    def resolved(self) -> str:
        """The spec as one text, with everything in it that it extends and uses."""
        keys = cast("dict[str, object]", yaml.plain(self.whole or self.root))
        return yaml.dump({key: value for key, value in keys.items() if key not in _JOINING})

    def stretch(self, path: yaml.Path, start: int, end: int) -> Place:
        """The place of ``[start, end)`` of the text of the scalar at ``path``, or of all."""
        node = yaml.find(self.root, path)
        # A text too long for any expression is not searched for the stretch, letter by letter.
        if isinstance(node, Scalar) and start < end and len(node.text) <= MAX_SEARCHED:
            return node.place(start, end)
        return self.place(path)


def locate(name: str | os.PathLike[str]) -> Path:
    """The file behind a path or a packaged spec's name.

    Raises:
        SpecError: E108 if a bare name is no packaged spec.
    """
    text = os.fspath(name)
    if not isinstance(name, str) or text.endswith((".yaml", ".yml")) or os.sep in text:
        return Path(text)
    if found := find_packaged(text):
        return found
    hint = did_you_mean(text, packaged_specs()) or _SHOWN_BY_LIST
    raise SpecError(Problem("E108", f"no packaged spec is called '{text}'", hint=hint))


def read(name: str | os.PathLike[str], copy: Path | None = None) -> tuple[Document, list[Problem]]:
    """Read a spec and everything it extends.

    Args:
        copy: a file that is read in the spec's stead; parents are still those beside the spec.

    Raises:
        SpecError: E1xx if no tree can be made of it.
    """
    path = locate(name)
    if copy is None and not os.path.exists(path) and find_packaged(path.stem):
        hint = f"the packaged spec is given by its name: {path.stem}"
        raise SpecError(Problem("E106", f"{path}: no such file", hint=hint))
    root, problems = yaml.read(copy or path, shown_as=_shown(path))
    folder = _real(path.parent)
    files = [path]
    joined = _Sources(problems, files).joined(root, path.parent, folder, (_real(path),))
    root = with_likes(joined, problems)
    return Document(path.stem, root, tuple(files)), problems


def read_text(
    text: str, name: str = "<spec>", folder: Path | None = None
) -> tuple[Document, list[Problem]]:
    """As ``read``, for a text; without a folder it can extend packaged specs only."""
    root, problems = yaml.parse(text, name)
    files: list[Path] = []
    folder = _real(folder) if folder else None
    joined = _Sources(problems, files, _beside(name, folder)).joined(root, folder, folder)
    root = with_likes(joined, problems)
    return Document(Path(name).stem.strip("<>") or "spec", root, tuple(files)), problems


def _shown(path: Path) -> str:
    if is_packaged(path):
        return f"specs/{path.parent.name}/{path.name}"
    return str(path)


def _beside(name: str, folder: Path | None) -> Callable[[Path], str]:
    """How the parents of a text are called: as if it stood as ``name`` in its folder."""

    def shown(path: Path) -> str:
        if folder is None or not path.is_relative_to(folder):
            return _shown(path)
        return os.path.join(os.path.dirname(name), os.path.relpath(path, folder))

    return shown


class _Sources:
    """The files that a spec is made of: those it extends, and those whose blocks it uses.

    Attributes:
        files: the paths that were read.
        size: the bytes of those that are extended and used, together.
        nodes: their keys and values.
    """

    def __init__(
        self, problems: list[Problem], files: list[Path], shown: Callable[[Path], str] = _shown
    ) -> None:
        """``shown`` says what a file is called in places."""
        self.problems, self.files, self.shown = problems, files, shown
        self.size = self.nodes = 0
        self._known: dict[Path, Mapping] = {}

    def joined(
        self, root: Mapping, beside: Path | None, folder: Path | None, stack: tuple[Path, ...] = ()
    ) -> Mapping:
        """``root`` with the blocks that it uses, merged over its parent.

        Args:
            beside: the folder of the file.
            folder: the one that paths may not leave.
            stack: the files that led here, and this one.
        """
        root = self._with_used(root, beside, folder, stack)
        node = find(root, ("extends",))
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            if "rename" in root.entries and node is None:
                place = root.entries["rename"].key.place()
                self.problems.append(Problem("E111", "rename: there is no parent", place))
            return root  # of another kind: the schema says so, at its place
        parent = self._other(node, "extend", beside, folder, stack)
        parent = without_removed(with_renamed(parent, root, self.problems), root, self.problems)
        return merge_mappings(parent, root)

    def _other(
        self,
        node: Scalar,
        verb: str,
        beside: Path | None,
        folder: Path | None,
        stack: tuple[Path, ...],
    ) -> Mapping:
        """The spec that a file is, with all that it extends and uses in turn."""
        path, folder = _parent(node, verb, beside, folder)
        real = _real(path)
        if real in stack:
            message = f"'{node.value}' {verb}s itself in the end"
            raise SpecError(Problem("E110", message, node.place()))
        if len(stack) > MAX_PARENTS:
            raise SpecError(Problem("E110", f"more than {MAX_PARENTS} parents", node.place()))
        if real not in self._known:
            if len(self.files) > MAX_FILES:
                message = f"more than {MAX_FILES} files"
                raise SpecError(Problem("E110", message, node.place()))
            self.files.append(path)
            try:
                root, found = yaml.read(path, shown_as=self.shown(path))
            except SpecError as error:
                noted = Note(f"{verb.removesuffix('e')}ed from here", node.place())
                notes = (replace(p, notes=(*p.notes, noted)) for p in error.problems)
                raise SpecError(notes) from None
            self.size += path.stat().st_size
            if self.size > yaml.MAX_BYTES:
                message = f"the files have more than {yaml.MAX_BYTES:,} bytes together"
                raise SpecError(Problem("E110", message, node.place()))
            self.nodes += yaml.count(root)
            if self.nodes > MAX_NODES:
                message = f"the files have more than {MAX_NODES:,} keys and values together"
                hint = "what an alias stands for counts each time"
                raise SpecError(Problem("E110", message, node.place(), hint))
            self.problems += found
            self._known[real] = self.joined(root, path.parent, folder, (*stack, real))
        return self._known[real]

    def _with_used(
        self, root: Mapping, beside: Path | None, folder: Path | None, stack: tuple[Path, ...]
    ) -> Mapping:
        """``root`` with the blocks of the files that it uses in front of its own."""
        used = find(root, ("use",))
        own = find(root, ("blocks",))
        blocks = dict(own.entries) if isinstance(own, Mapping) else {}
        offered: dict[str, list[Entry]] = {}
        for node in used.items if isinstance(used, Listing) else ():
            if not isinstance(node, Scalar) or not isinstance(node.value, str):
                continue  # the schema says so
            found = find(self._other(node, "use", beside, folder, stack), ("blocks",))
            if not isinstance(found, Mapping):
                message = f"'{node.value}' has no blocks"
                self.problems.append(Problem("E202", message, node.place()))
                continue
            for name, entry in found.entries.items():
                offered.setdefault(name, []).append(entry)
        taken = self._needed(root, blocks, offered)
        if not taken:
            return root
        span = own.span if own else root.span
        merged = Mapping({**taken, **blocks}, span)
        key = root.entries["blocks"].key if own else span
        return replace(root, entries={**root.entries, "blocks": Entry(key, merged)})

    def _needed(
        self, root: Mapping, own: dict[str, Entry], offered: dict[str, list[Entry]]
    ) -> dict[str, Entry]:
        """The blocks that are spoken of, by the spec or by one of them; none has two."""
        needed: dict[str, Entry] = {}
        met: set[str] = set()
        speaking = (entry for key, entry in root.entries.items() if key not in _ABOUT_FILES)
        words = {*own}.union(*(_words(entry.value) for entry in speaking))
        while words:
            met |= words
            spoken_of = sorted(words & offered.keys())
            for name in spoken_of:
                first, *others = [*([own[name]] if name in own else []), *offered[name]]
                for other in others:
                    if other.value is not first.value:
                        self._tell_clash(name, first, other)
                needed[name] = offered[name][0]
            words = set[str]().union(*(_words(needed[name].value) for name in spoken_of)) - met
        return {name: needed[name] for name in offered if name in needed}

    def _tell_clash(self, name: str, first: Entry, other: Entry) -> None:
        message, note = f"two blocks are called '{name}'", Note("the other one", other.key.place())
        hint = "give one of them another name, or extend the file to change its block"
        self.problems.append(Problem("E207", message, first.key.place(), hint, (note,)))


def _words(node: Node) -> set[str]:
    """All that may be a name in the values of a node."""
    match node:
        case Mapping():
            return {word for entry in node.entries.values() for word in _words(entry.value)}
        case Listing():
            return {word for item in node.items for word in _words(item)}
        case Scalar():
            return {*_WORD.findall(node.text)}


def _real(path: Path) -> Path:
    """The path without links; unlike ``Path.resolve``, it can cope with a link to itself."""
    return Path(os.path.realpath(path))


def _parent(
    node: Scalar, verb: str, beside: Path | None, folder: Path | None
) -> tuple[Path, Path | None]:
    """The file that is extended or used, and the folder that its own may not leave."""
    text = str(node.value)
    if not text.endswith((".yaml", ".yml")) and os.sep not in text:
        try:
            return locate(text), _real(packaged_folder())
        except SpecError as error:
            raise SpecError(replace(p, place=node.place()) for p in error.problems) from None
    if beside is None or folder is None:
        hint = _SHOWN_BY_LIST
        message = f"a text has no folder: it can {verb} packaged specs only"
        raise SpecError(Problem("E109", message, node.place(), hint))
    if "\0" in text:
        raise SpecError(Problem("E106", "no file has a NUL in its name", node.place()))
    path = beside / text
    if os.path.isabs(text) or not _real(path).is_relative_to(folder):
        message = f"'{text}' is outside the spec's folder"
        hint = f"{verb} a file in the same folder or below it, or a packaged spec by name"
        raise SpecError(Problem("E109", message, node.place(), hint))
    return path, folder
