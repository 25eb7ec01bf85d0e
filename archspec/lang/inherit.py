"""Where specs are found, and how a spec is joined with the parent it extends.

The result is one document tree whose every node still knows the file and line that it came from.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from archspec.errors import Note, Place, Problem, SpecError, did_you_mean, listing
from archspec.lang import yaml
from archspec.lang.like import with_likes
from archspec.lang.packaged import is_packaged, packaged_folder, packaged_specs
from archspec.lang.schema import is_type_name
from archspec.lang.yaml import Entry, Listing, Mapping, Node, Scalar

MAX_PARENTS = 16
MAX_SEARCHED = 10_000  # characters
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
    specs = packaged_specs()
    if text in specs:
        return specs[text]
    hint = did_you_mean(text, specs) or _SHOWN_BY_LIST
    raise SpecError(Problem("E108", f"no packaged spec is called '{text}'", hint=hint))


def read(name: str | os.PathLike[str], copy: Path | None = None) -> tuple[Document, list[Problem]]:
    """Read a spec and everything it extends.

    Args:
        copy: a file that is read in the spec's stead; parents are still those beside the spec.

    Raises:
        SpecError: E1xx if no tree can be made of it.
    """
    path = locate(name)
    root, problems = yaml.read(copy or path, shown_as=_shown(path))
    folder = _real(path.parent)
    files = [path]
    root = with_likes(_with_parents(root, problems, files, folder), problems)
    return Document(path.stem, root, tuple(files)), problems


def read_text(
    text: str, name: str = "<spec>", folder: Path | None = None
) -> tuple[Document, list[Problem]]:
    """As ``read``, for a text; without a folder it can extend packaged specs only."""
    root, problems = yaml.parse(text, name)
    files: list[Path] = []
    folder = _real(folder) if folder else None
    root = _with_parents(root, problems, files, folder, _beside(name, folder))
    root = with_likes(root, problems)
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


def _with_parents(
    root: Mapping,
    problems: list[Problem],
    files: list[Path],
    folder: Path | None,
    shown: Callable[[Path], str] = _shown,
) -> Mapping:
    """``root`` merged over its chain of parents.

    Args:
        folder: the one that paths may not leave.
        shown: what a file is called in places.
    """
    chain = [root]
    seen = {_real(path) for path in files}
    while (extends := chain[-1].entries.get("extends")) is not None:
        node = extends.value
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            break  # the schema says so, at its place
        path, folder = _parent(node, files[-1].parent if files else folder, folder)
        if _real(path) in seen:
            raise SpecError(
                Problem("E110", f"'{node.value}' extends itself in the end", node.place())
            )
        if len(chain) > MAX_PARENTS:
            raise SpecError(Problem("E110", f"more than {MAX_PARENTS} parents", node.place()))
        seen.add(_real(path))
        files.append(path)
        try:
            parent, found = yaml.read(path, shown_as=shown(path))
        except SpecError as error:
            noted = Note("extended from here", node.place())
            raise SpecError(replace(p, notes=(*p.notes, noted)) for p in error.problems) from None
        problems += found
        chain.append(parent)
    merged = chain.pop()
    while chain:
        child = chain.pop()
        merged = _merge_mappings(_remove(merged, child, problems), child, ())
    return merged


def _real(path: Path) -> Path:
    """The path without links; unlike ``Path.resolve``, it can cope with a link to itself."""
    return Path(os.path.realpath(path))


def _parent(node: Scalar, beside: Path | None, folder: Path | None) -> tuple[Path, Path | None]:
    """The parent's file, and the folder that its own parents may not leave."""
    text = str(node.value)
    if not text.endswith((".yaml", ".yml")) and os.sep not in text:
        try:
            return locate(text), _real(packaged_folder())
        except SpecError as error:
            raise SpecError(replace(p, place=node.place()) for p in error.problems) from None
    if beside is None or folder is None:
        hint = _SHOWN_BY_LIST
        message = "a text has no folder: it can extend packaged specs only"
        raise SpecError(Problem("E109", message, node.place(), hint))
    if "\0" in text:
        raise SpecError(Problem("E106", "no file has a NUL in its name", node.place()))
    path = beside / text
    if os.path.isabs(text) or not _real(path).is_relative_to(folder):
        message = f"'{text}' is outside the spec's folder"
        hint = "extend a file in the same folder or below it, or a packaged spec by name"
        raise SpecError(Problem("E109", message, node.place(), hint))
    return path, folder


# ---------------------------------------------------------------------------------------- merging


def _merge(parent: Node, child: Node, path: yaml.Path) -> Node:
    if _declares_param(path):
        parent, child = _long_form(parent), _long_form(child)
    if _declares_module(path) and _is_other_type(parent, child):
        return child
    if isinstance(parent, Mapping) and isinstance(child, Mapping):
        return _merge_mappings(parent, child, path)
    if path == ("config", "ignore") and isinstance(parent, Listing) and isinstance(child, Listing):
        return replace(child, items=(*parent.items, *child.items))
    return child


def _merge_mappings(parent: Mapping, child: Mapping, path: yaml.Path) -> Mapping:
    excluded = _excluded(child, path)
    entries = {key: entry for key, entry in parent.entries.items() if key not in excluded}
    if not path:
        entries.pop("extends", None)
        entries.pop("remove", None)
    for key, entry in child.entries.items():
        if key in entries and not _replaces((*path, key)):
            entry = Entry(entry.key, _merge(entries[key].value, entry.value, (*path, key)))
        entries[key] = entry
    return replace(child, entries=entries)


def _replaces(path: yaml.Path) -> bool:
    """A block's outputs belong to its steps, which a child replaces as a whole, too."""
    return len(path) in (3, 5) and path[0] == "blocks" and path[-1] == "outputs"


def _declares_module(path: yaml.Path) -> bool:
    return len(path) > 3 and path[0] == "blocks" and path[2] in ("modules", "items")


def _is_other_type(parent: Node, child: Node) -> bool:
    """Whether a child gives a module another type, whose arguments are not those of the old one."""
    types = [n.entries.get("type") if isinstance(n, Mapping) else None for n in (parent, child)]
    texts = [one.value.text if one and isinstance(one.value, Scalar) else None for one in types]
    return None not in texts and texts[0] != texts[1]


_SEQUENTIAL = frozenset({"items"})
_WITH_STEPS = frozenset({"modules", "forward", "methods", "parameters", "buffers"})


def _excluded(child: Mapping, path: yaml.Path) -> frozenset[str]:
    """The keys of a parent that what a child says takes the place of."""
    match path:
        case ("blocks", _) if "items" in child.entries:
            return _WITH_STEPS
        case ("blocks", _) if not _WITH_STEPS.isdisjoint(child.entries):
            return _SEQUENTIAL
        case ("blocks", _, "parameters" | "buffers", _) if "value" in child.entries:
            return frozenset({"init"})
        case ("blocks", _, "parameters" | "buffers", _) if "init" in child.entries:
            return frozenset({"value"})
        case _:
            return frozenset()


def _declares_param(path: yaml.Path) -> bool:
    return (len(path) == 2 and path[0] == "params") or (
        len(path) == 4 and path[0] == "blocks" and path[2] == "params"
    )


def _long_form(node: Node) -> Node:
    """``depths: [3, 4]`` in a child sets the default of what the parent declares, and no more."""
    if isinstance(node, Mapping):
        return node
    key = "type" if isinstance(node, Scalar) and is_type_name(str(node.value)) else "default"
    return Mapping({key: Entry(node.span, node)}, node.span)


def _remove(parent: Mapping, child: Mapping, problems: list[Problem]) -> Mapping:
    entry = child.entries.get("remove")
    if entry is None or not isinstance(entry.value, Listing):
        return parent
    for item in entry.value.items:
        if not isinstance(item, Scalar):
            continue  # the schema says so
        keys = tuple(str(item.value).split("."))
        removed = _without(parent, keys)
        if isinstance(removed, Mapping):
            parent = removed
        elif isinstance(removed, str):
            message = f"remove: the parent has no '{item.value}'"
            problems.append(Problem("E111", message, item.place(), removed))
    return parent


def _without(node: Node, keys: tuple[str, ...]) -> Node | str:
    """``node`` without what stands at ``keys``, or a hint if nothing does."""
    if isinstance(node, Mapping) and ".".join(keys) in node.entries:
        keys = (".".join(keys),)  # a key of config.require has dots
    first, rest = keys[0], keys[1:]
    if isinstance(node, Mapping):
        if first not in node.entries:
            return did_you_mean(first, node.entries) or f"there is: {listing(list(node.entries))}"
        entries = dict(node.entries)
        entry = entries.pop(first)
        if rest:
            inner = _without(entry.value, rest)
            if isinstance(inner, str):
                return inner
            # Putting it back under the same key keeps the order of the others.
            entries = {k: Entry(e.key, inner) if k == first else e for k, e in node.entries.items()}
        return replace(node, entries=entries)
    if isinstance(node, Listing) and first.isdecimal() and int(first) < len(node.items):
        at = int(first)
        inner = _without(node.items[at], rest) if rest else None
        if isinstance(inner, str):
            return inner
        middle = () if inner is None else (inner,)
        return replace(node, items=(*node.items[:at], *middle, *node.items[at + 1 :]))
    return f"there is nothing below '{first}'" if rest else f"there is no '{first}'"
