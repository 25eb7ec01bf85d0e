"""One block's ``forward``: the steps as Python statements."""

from __future__ import annotations

from archspec.codegen.constructor import BODY
from archspec.codegen.line_breaks import LINE_LENGTH
from archspec.codegen.names import Names
from archspec.codegen.printing import ForwardPrinter, docstring, identifier
from archspec.codegen.writer import Writer
from archspec.lang.expr import Node
from archspec.lang.expr.nodes import Call, Constant, Sequence
from archspec.lang.expr.printing import written
from archspec.lang.references import LOOPS, modules_of
from archspec.lang.tree import AssignNode, ContractNode, ForNode, ReturnNode, StepNode


class Forward:
    """Writes ``def forward`` of one block."""

    def __init__(self, names: Names, name: str, writer: Writer) -> None:
        self.blocks, self.block, self.writer = names.tree.blocks, names.tree.blocks[name], writer
        self.printer = ForwardPrinter(names.classes)

    def write(self) -> None:
        inputs, forward = self.block.inputs, self.block.forward
        arguments: list[str] = []
        for name, contract in inputs.items():
            if contract.declared.keyword and "*" not in arguments:
                arguments.append("*")
            optional = " | None = None" if contract.declared.optional else ""
            arguments.append(f"{identifier(name)}: Tensor{optional}")
        if not inputs and forward is None:
            arguments = ["x: Tensor"]
        self.writer.add()
        path = (*self.block.path, "inputs")
        self.writer.add(f"def forward({', '.join(['self', *arguments])}):", 4, path)
        if inputs:
            self._docstring()
        if forward is None:
            self._in_order(next(iter(inputs), "x"))
        else:
            self._steps(forward, BODY)

    def write_values(self) -> None:
        """A method for each raw tensor that starts as a computed value."""
        for tensor in self.block.computed:
            self.writer.add()
            self.writer.add(f"def {identifier(tensor.method)}(self):", 4, tensor.path)
            self._steps(tensor.value, BODY)

    def _docstring(self) -> None:
        """What the inputs look like, on one line if it fits."""
        shapes = [f"{name}: {contract_text(c)}" for name, c in self.block.inputs.items()]
        one_line = docstring(f"{'; '.join(shapes)}.")
        if BODY + len(one_line) <= LINE_LENGTH:
            self.writer.add(one_line, BODY)
            return
        quotes = docstring("")[:3]
        for line in (quotes, *(docstring(shape)[3:-3] for shape in shapes), quotes):
            self.writer.add(line, BODY)

    def _in_order(self, name: str) -> None:
        """Without steps, the modules run in their order."""
        modules = self.block.modules
        path, name = (*self.block.path, "modules"), identifier(name)
        if any(not module.always and not module.is_container for module in modules.values()):
            self.writer.add("for module in self.children():", BODY, path)
            self.writer.add(f"{name} = module({name})", BODY + 4, path)
        else:
            *first, last = modules or [""]
            for child in first:
                self.writer.add(f"{name} = self.{identifier(child)}({name})", BODY, (*path, child))
            if last:
                self.writer.add(f"return self.{identifier(last)}({name})", BODY, (*path, last))
                return
        self.writer.add(f"return {name}", BODY, path)

    def _steps(self, steps: tuple[StepNode, ...], indent: int) -> None:
        for step in steps:
            match step:
                case ReturnNode():
                    self.writer.add(f"return {self._top(step.value)}", indent, step.path)
                case AssignNode():
                    targets = ", ".join(map(identifier, step.targets))
                    self.writer.add(f"{targets} = {self._top(step.value)}", indent, step.path)
                case ForNode():
                    targets = ", ".join(map(identifier, step.targets))
                    iterable = self._iterable(step.value)
                    self.writer.add(f"for {targets} in {iterable}:", indent, step.path)
                    self._steps(step.body, indent + 4)

    def _top(self, node: Node) -> str:
        """The right side of a statement, where a tuple needs no parentheses."""
        if isinstance(node, Sequence) and not node.is_list and len(node.items) > 1:
            return ", ".join(self.printer.text(item, 1) for item in node.items)
        return self.printer.text(node)

    def _iterable(self, node: Node) -> str:
        """What a loop runs over; a ModuleDict gives its modules."""
        if isinstance(node, Call) and node.name in LOOPS:
            text = self.printer.text if node.name == "range" else self._iterable
            return f"{node.name}({', '.join(map(text, node.arguments))})"
        found = modules_of(node, self.blocks)
        is_dict = bool(found) and all(module.kind == "ModuleDict" for module in found)
        return f"{self.printer.text(node)}.values()" if is_dict else self.printer.text(node)


def contract_text(contract: ContractNode) -> str:
    """A contract's shape for a docstring: ``[batch, seq, hidden_size]``."""
    sizes = [str(s.value) if isinstance(s, Constant) else written(s) for s in contract.shape]
    return f"[{', '.join(sizes)}]{' or None' if contract.declared.optional else ''}"
