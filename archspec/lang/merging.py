"""A child spec over its parent: what merges, what replaces, and what is removed first."""

from __future__ import annotations

from dataclasses import replace

from archspec.errors import Problem, did_you_mean, listing
from archspec.lang import yaml
from archspec.lang.schema import is_type_name
from archspec.lang.yaml import Entry, Listing, Mapping, Node, Scalar

_ABOUT_FILES = frozenset({"extends", "remove", "use", "rename"})


def _merge(parent: Node, child: Node, path: yaml.Path) -> Node:
    if _declares_param(path):
        parent, child = _long_form(parent), _long_form(child)
    if _declares_module(path) and _is_other_type(parent, child):
        return child
    if isinstance(parent, Mapping) and isinstance(child, Mapping):
        return merge_mappings(parent, child, path)
    if path == ("config", "ignore") and isinstance(parent, Listing) and isinstance(child, Listing):
        return replace(child, items=(*parent.items, *child.items))
    return child


def merge_mappings(parent: Mapping, child: Mapping, path: yaml.Path = ()) -> Mapping:
    """A child over its parent: mappings merge, everything else replaces."""
    excluded = _excluded(child, path)
    entries = {key: entry for key, entry in parent.entries.items() if key not in excluded}
    if not path:
        entries = {k: e for k, e in entries.items() if k not in _ABOUT_FILES}
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


def without_removed(parent: Mapping, child: Mapping, problems: list[Problem]) -> Mapping:
    """The parent without what its child removes; what it does not have is a problem."""
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
