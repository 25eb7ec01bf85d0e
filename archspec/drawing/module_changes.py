"""What differs between a model and another spec's, module by module, as data for the canvas."""

from __future__ import annotations

from typing import Any

from archspec.differences.alignment import Alignment
from archspec.differences.change_set import TreeChange
from archspec.differences.changes import tree_changes
from archspec.differences.outline import outline
from archspec.lang.spec import Spec


def module_changes(old: Spec, new: Spec) -> dict[str, Any]:
    """The modules of ``new`` that ``old`` has not, or has otherwise, and those that it had.

    Returns:
        ``against``: the name of the old spec. ``modules``: path → what differs, with its ``kind``,
        ``added`` (all below it is, too), ``changed`` or ``moved``; ``was``, the former path, if it
        is another one; ``types``, both class names, if they differ; ``arguments``, each with its
        name and both values. ``removed``: path of the module around it → former path, class name,
        and how many modules it stands for.
    """
    alignment = Alignment(outline(old), outline(new))
    modules: dict[str, Any] = {}
    removed: dict[str, list[list[Any]]] = {}
    for change in tree_changes(alignment):
        if change.new is not None:
            modules[change.new] = _changed(change)
        elif change.old is not None:
            around = alignment.successor.get(change.old.rpartition(".")[0])
            place = around.path if around and change.old else ""
            removed.setdefault(place, []).append([change.old, change.old_type, change.modules])
    return {"against": old.name, "modules": modules, "removed": removed}


def _changed(change: TreeChange) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": change.kind}
    if change.old not in (None, change.new):
        found["was"] = change.old
    if change.old_type and change.old_type != change.new_type:
        found["types"] = [change.old_type, change.new_type]
    if change.kind == "changed" and change.arguments:
        found["arguments"] = [[name, *pair] for name, pair in change.arguments.items()]
    return found
