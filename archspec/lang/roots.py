"""Which block is the root: the one that the spec names, or another one that is chosen from outside.

The result is a document whose ``model``, ``init`` and ``freeze`` are those of that root, so that
nothing behind it needs to know of the choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from archspec.errors import Problem, SpecError, did_you_mean, listing
from archspec.lang import patterns, yaml
from archspec.lang.inherit import Document
from archspec.lang.params import Override
from archspec.lang.patterns import PatternError, Tree
from archspec.lang.yaml import Entry, Listing, Node, Scalar, find

CHOICE = "model"  # the name under which an override chooses the root
_OWN = ("init", "freeze")  # of a block, for where it is the root
_OF_THE_MODEL = (
    "task",
    "checkpoints",
    "init",
    "freeze",
    "tie",
    "adapters",
    "adapter",
)  # speak of the root's modules
_NOT_SHARED = ("task", "checkpoints", "adapter")


def choice(document: Document, overrides: Mapping[str, Override]) -> Override | None:
    """The override that chooses the root; in a spec with a parameter of that name there is none.

    Raises:
        SpecError: E206, it names no block.
    """
    params = find(document.root, ("params",))
    chosen = overrides.get(CHOICE)
    if chosen is None or (isinstance(params, yaml.Mapping) and CHOICE in params.entries):
        return None
    blocks = _keys(document.root, ("blocks",))
    if chosen.value not in blocks:
        hint = did_you_mean(str(chosen.value), blocks) or f"blocks: {listing(blocks)}"
        message = f"no block is called '{chosen.value}' ({chosen.origin})"
        raise SpecError(Problem("E206", message, chosen.place, hint))
    return chosen


def others(document: Document) -> Iterator[str]:
    """The blocks beside the root that say how they start or freeze where they are the root."""
    for name in _keys(document.root, ("blocks",)):
        if any(document.has(("blocks", name, key)) for key in _OWN):
            yield name


def shares(document: Document) -> bool:
    """Whether the top of the spec says something that may hold for a chosen root, too."""
    return any(key in document.root.entries for key in ("init", "freeze", "tie", "adapters"))


def rooted(document: Document, name: str | None = None, tree: Tree | None = None) -> Document:
    """The document with its root's own sections at the top.

    Args:
        name: of the block that is chosen; None for the one that the document names.
        tree: the paths of the chosen root. What the top says of it is kept as far as its patterns
            and paths select something; without a tree nothing of it is.
    """
    whole = document.whole or document.root
    entries = dict(whole.entries)
    named = find(whole, (CHOICE,))
    root = named.text if isinstance(named, Scalar) else ""
    if name is not None and name != root:
        for key in _OF_THE_MODEL:
            entry = entries.pop(key, None)
            if entry is not None and tree is not None and key not in _NOT_SHARED:
                entries[key] = replace(entry, value=_kept(key, entry.value, tree))
        at = entries[CHOICE].value.span if CHOICE in entries else whole.span
        entries[CHOICE] = Entry(at, Scalar(name, name, True, at))
        root = name
    entries |= _with_own(entries, whole, root)
    return replace(document, root=replace(whole, entries=entries), whole=whole)


def _with_own(entries: Mapping[str, Entry], whole: yaml.Mapping, root: str) -> dict[str, Entry]:
    """The sections of the root's block, behind those of the top, and the blocks without them."""
    blocks, block = find(whole, ("blocks",)), find(whole, ("blocks", root))
    if not isinstance(blocks, yaml.Mapping) or not isinstance(block, yaml.Mapping):
        return {}
    changed: dict[str, Entry] = {}
    for key in _OWN:
        own = block.entries.get(key)
        top = entries[key].value if key in entries else None
        if own is None:
            continue
        if isinstance(own.value, Listing) and isinstance(top, Listing):
            joined: Node = replace(top, items=(*top.items, *own.value.items))
        elif isinstance(own.value, yaml.Mapping) and isinstance(top, yaml.Mapping):
            joined = replace(top, entries={**top.entries, **own.value.entries})
        else:
            joined = own.value
        changed[key] = replace(own, value=joined)
    if changed:
        rest = {key: entry for key, entry in block.entries.items() if key not in changed}
        less = Entry(blocks.entries[root].key, replace(block, entries=rest))
        more = replace(blocks, entries={**blocks.entries, root: less})
        changed["blocks"] = Entry(entries["blocks"].key, more)
    return changed


def _kept(key: str, node: Node, tree: Tree) -> Node:
    """What of a section selects something in a tree."""
    if key == "init" and isinstance(node, Listing):
        rules = (_rule(item, tree) for item in node.items)
        return replace(node, items=tuple(rule for rule in rules if rule is not None))
    if not isinstance(node, yaml.Mapping):
        return node
    paths = {entry.path for entry in tree.entries}
    kept = {
        name: entry
        for name, entry in node.entries.items()
        if all(
            text in paths if key == "tie" else _selects(text, tree)
            for text in _texts(name, entry.value, key)
        )
    }
    return replace(node, entries=kept)


def _texts(name: str, node: Node, key: str) -> list[str]:
    """The patterns of a freeze plan or an adapter, or the two paths of a tie."""
    if key == "adapters":
        parts = (find(node, (part,)) for part in ("match", "feedforward", "train"))
        return [text for part in parts if part for text in _texts(name, part, "freeze")]
    inner = {"freeze": "patterns", "tie": "to"}[key]
    if isinstance(node, yaml.Mapping) and inner in node.entries:
        node = node.entries[inner].value
    items = node.items if isinstance(node, Listing) else (node,)
    texts = [item.text for item in items if isinstance(item, Scalar)]
    return [name, *texts] if key == "tie" else texts


def _rule(rule: Node, tree: Tree) -> Node | None:
    """An init rule with those of its patterns that select something; None without any."""
    match = find(rule, ("match",))
    items = match.items if isinstance(match, Listing) else (match,)
    kept = [i for i in items if not isinstance(i, Scalar) or _selects(i.text, tree)]
    if not kept or not isinstance(rule, yaml.Mapping) or match is None:
        return rule if match is None else None
    entry = rule.entries["match"]
    fewer = replace(match, items=tuple(kept)) if isinstance(match, Listing) else match
    return replace(rule, entries={**rule.entries, "match": replace(entry, value=fewer)})


def _selects(text: str, tree: Tree) -> bool:
    try:
        return bool(tree.select(patterns.parse(text)))
    except PatternError:
        return True  # which is reported


def _keys(root: yaml.Mapping, path: yaml.Path) -> list[str]:
    node = find(root, path)
    return list(node.entries) if isinstance(node, yaml.Mapping) else []
