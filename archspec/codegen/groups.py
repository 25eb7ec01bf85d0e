"""Containers whose items are repeated in groups: loops that append to a list of layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from archspec.codegen.names import local_names
from archspec.codegen.printing import ArgumentPrinter, identifier
from archspec.codegen.writer import Writer
from archspec.lang.expr import Node
from archspec.lang.expr.nodes import names
from archspec.lang.expr.printing import OR, TERNARY
from archspec.lang.tree import BlockNode, CarryNode, GroupNode, ItemNode, ModuleNode

_LISTS = ("layers", "blocks", "parts", "modules")  # of a container, of one in it, and so on
Items = Iterable[tuple[str | int, ItemNode]]


class Maker(Protocol):
    """What writes constructors."""

    block: BlockNode
    printer: ArgumentPrinter
    writer: Writer

    def call(self, module: ModuleNode) -> str: ...
    def item(self, item: ModuleNode) -> tuple[str, str]: ...
    def there(self, items: Items) -> Sequence[tuple[str | int, ItemNode]]: ...


def needs_loop(module: ModuleNode) -> bool:
    """Whether a container cannot be made by one expression."""
    return any(
        not is_comprehension(item) if isinstance(item, GroupNode) else needs_loop(item)
        for _, item in module.items
    )


def is_comprehension(group: GroupNode) -> bool:
    """Whether a group is the comprehension of one item."""
    (_, item), *more = group.items
    plain = isinstance(item, ModuleNode) and item.repeat is None and not needs_loop(item)
    return plain and not more and not group.carry


def loop_header(group: GroupNode, printer: ArgumentPrinter) -> str:
    """``for i, (a, b) in enumerate(pairs)``"""
    index = identifier(group.index) if group.index else ""
    if group.each is None:
        times = printer.text(group.repeat) if group.repeat is not None else "0"
        return f"for {index or '_'} in range({times})"
    targets, iterable = ", ".join(map(identifier, group.each.targets)), group.each.iterable
    if not index:
        return f"for {targets} in {printer.text(iterable, OR)}"
    targets = f"({targets})" if len(group.each.targets) > 1 else targets
    return f"for {index}, {targets} in enumerate({printer.text(iterable)})"


class Loops:
    """Writes the statements that fill one container, and those inside of it."""

    def __init__(self, maker: Maker, depth: int = 0) -> None:
        self.maker, self.depth = maker, depth
        self.add, self.text = maker.writer.add, maker.printer.text
        taken = local_names(maker.block)
        name = _LISTS[min(depth, len(_LISTS) - 1)]
        while name in taken:
            name += "_"
        self.layers = name

    def write(self, module: ModuleNode, indent: int) -> str:
        """Write the statements; returns what the constructor of the container is given."""
        items = list(self.maker.there(module.items))
        if any(item.name is not None for item in module.item_modules):
            self.add(f"{self.layers} = OrderedDict()", indent, module.path)
            self._body(items, indent)
            return self.layers
        first = self._plain(items)
        self.add(f"{self.layers} = [{', '.join(first)}]", indent, module.path)
        rest = items[len(first) :]
        last = list(reversed(self._plain(reversed(rest))))
        self._body(rest[: len(rest) - len(last)], indent)
        given = ", ".join([f"*{self.layers}", *last])
        return given if module.kind == "Sequential" else self.layers if not last else f"[{given}]"

    def _plain(self, items: Items) -> list[str]:
        """The items at the beginning that are there in any case, as calls."""
        found: list[str] = []
        for _, item in items:
            if isinstance(item, GroupNode) or item.repeat is not None or needs_loop(item):
                break
            call, condition = self.maker.item(item)
            if condition:
                break
            found.append(call)
        return found

    def _body(self, items: Items, indent: int) -> None:
        """Add items one after the other, those under one condition together."""
        waiting: list[str] = []
        condition = ""
        path = ()

        def flush() -> None:
            if not waiting:
                return
            if condition:
                self.add(f"if {condition}:", indent, (*path, "when"))
            listed = [text for text in waiting if text.startswith("[")]
            joined = f"{self.layers} += [{', '.join(waiting)}]"
            one = f"{self.layers}.append({waiting[0]})"
            text = one if len(waiting) == 1 else joined
            self.add(text if not listed else f"{self.layers} += {waiting[0]}", inner(), path)
            waiting.clear()

        def inner() -> int:
            return indent + 4 * bool(condition)

        for _, item in items:
            if isinstance(item, GroupNode):
                flush()
                self._group(item, indent)
                continue
            if needs_loop(item) or item.name is not None:
                flush()
                self._apart(item, indent)
                continue
            call, own = self.maker.item(item)
            if own != condition or item.repeat is not None:
                flush()
            condition, path = own, path if waiting else item.path
            if item.repeat is None:
                waiting.append(call)
                continue
            index = identifier(item.index or "_")
            loop = f"for {index} in range({self.text(item.repeat)})"
            tested, condition = f" if {condition}" * bool(condition), ""
            waiting.append(f"[{call} {loop}{tested}]")
            flush()
        flush()

    def _apart(self, item: ModuleNode, indent: int) -> None:
        """An item with statements of its own, or with a name."""
        if item.repeat is not None:
            index = identifier(item.index or "_")
            self.add(f"for {index} in range({self.text(item.repeat)}):", indent, item.path)
            indent += 4
        condition = self.text(item.when)
        outer = indent
        if condition != "True":
            self.add(f"if {condition}:", indent, (*item.path, "when"))
            indent += 4
        call = self.made(item, indent)
        self.add(self._stored(item, call), indent, item.path)
        if condition != "True" and item.is_container:
            self.add("else:", outer)
            self.add(self._stored(item, f"nn.{item.kind}()"), indent)

    def _stored(self, item: ModuleNode, made: str) -> str:
        """The statement that adds an item to the list, or under its name to the mapping."""
        if item.name is None:
            return f"{self.layers}.append({made})"
        return f"{self.layers}[{self.text(item.name, TERNARY)}] = {made}"

    def made(self, module: ModuleNode, indent: int) -> str:
        """The call that makes a module, once its statements are written."""
        if not needs_loop(module):
            return self.maker.call(module)
        return f"nn.{module.kind}({Loops(self.maker, self.depth + 1).write(module, indent)})"

    def _group(self, group: GroupNode, indent: int) -> None:
        self._assign([(one, one.first) for one in group.carry], indent)
        self.add(f"{loop_header(group, self.maker.printer)}:", indent, group.path)
        self._body(self.maker.there(group.items), indent + 4)
        self._assign([(one, one.after) for one in group.carry], indent + 4)

    def _assign(self, pairs: list[tuple[CarryNode, Node]], indent: int) -> None:
        """New values of running ones, at once if one is computed from another."""
        carried = {one.name for one, _ in pairs}
        at_once = any({n.id for n in names(node)} & carried - {one.name} for one, node in pairs)
        for some in [pairs] if at_once else [[pair] for pair in pairs]:
            targets = ", ".join(identifier(one.name) for one, _ in some)
            values = ", ".join(self.text(node, TERNARY) for _, node in some)
            if targets != values:
                self.add(f"{targets} = {values}", indent, some[0][0].path)
