"""The hierarchy of a model's modules as boxes, equal neighbours as one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from archspec.drawing.diagram import Arrow, Box
from archspec.drawing.drawn_model import DrawnModel, bracketed
from archspec.drawing.folding import MAX_BOXES, Graph, name_range
from archspec.lang.instances import Instance
from archspec.report.folding import fold_neighbours

MAX_CHILDREN = 40
"""Boxes below one box; one more stands for all others."""


def hierarchy(subject: DrawnModel) -> Graph:
    """The modules from the root down, level by level until there are too many.

    Returns:
        Boxes, parents before their children, and an arrow from each parent to each child.
    """
    root = _box(subject, "", 0)
    boxes, arrows = [root], list[Arrow]()
    pending = deque([(root, "", subject.instances[""])])
    while pending:
        above, path, instance = pending.popleft()
        prefix = f"{path}." if path else ""
        groups = list(_groups(subject, prefix, instance))
        room = min(MAX_CHILDREN, MAX_BOXES - len(boxes))
        shown = groups if len(groups) <= room else groups[: max(0, room - 1)]
        for first, last, times in shown:
            box = _box(subject, prefix + first, len(boxes))
            if times > 1:
                box = replace(box, name=name_range(box.name, _own_name(path, last)), times=times)
            boxes.append(box)
            arrows.append(Arrow(above.id, box.id))
            child = subject.instances[prefix + first]
            pending.append((box, prefix + first, child))
        if left_out := sum(times for _, _, times in groups[len(shown) :]):
            boxes.append(Box(f"n{len(boxes)}", "more", f"… and {left_out:,} more"))
            arrows.append(Arrow(above.id, boxes[-1].id))
    return boxes, arrows


def _box(subject: DrawnModel, path: str, number: int) -> Box:
    attributes = subject.module_facts(path)
    name = (
        _own_name(path.rpartition(".")[0], path.rpartition(".")[2]) if path else attributes["type"]
    )
    place = subject.declared_at(path)
    return Box(f"n{number}", "module", **{**attributes, "name": name, "place": place})


def _own_name(above: str, name: str) -> str:
    """A module's name; in a container, that one's name and its number: ``layer[3]``."""
    return bracketed(f"{above.rpartition('.')[2]}.{name}" if name.isdecimal() and above else name)


def _groups(subject: DrawnModel, prefix: str, instance: Instance) -> Iterator[tuple[str, str, int]]:
    """First name, last name and number of children that are alike and follow each other."""
    names = (name for name, _ in instance.children)
    for _, group in fold_neighbours(names, str, lambda name: subject.kind(prefix + name)):
        yield group[0], group[-1], len(group)
