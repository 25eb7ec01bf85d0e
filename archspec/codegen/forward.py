"""One block's ``forward``: the steps as Python statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archspec.codegen.constructor import BODY
from archspec.codegen.line_breaks import LINE_LENGTH
from archspec.codegen.names import Names, attributes_of
from archspec.codegen.printing import ForwardPrinter, constant, docstring, identifier
from archspec.codegen.writer import Writer
from archspec.lang import schema
from archspec.lang.expr import Node
from archspec.lang.expr.nodes import LOOPS, Call, Constant, Sequence
from archspec.lang.expr.printing import OR, TERNARY, tuple_text, written
from archspec.lang.references import modules_of
from archspec.lang.tree import AssignNode, BlockNode, ContractNode, ForNode, ReturnNode, StepNode


class Forward:
    """Writes ``def forward`` of one block, and its further methods."""

    def __init__(self, names: Names, name: str, writer: Writer) -> None:
        self.blocks, self.block, self.writer = names.tree.blocks, names.tree.blocks[name], writer
        self.printer = ForwardPrinter(names.classes, attributes_of(self.block))

    def write(self) -> None:
        if self.block.container is None or self.block.inputs:  # else that of a Sequential
            self._entry("forward", self.block)
        for name, method in self.block.methods.items():
            self._entry(name, method)

    def _entry(self, name: str, entry: BlockNode) -> None:
        inputs, forward = entry.inputs, entry.forward
        arguments: list[str] = []
        for key, contract in inputs.items():
            if contract.declared.keyword and "*" not in arguments:
                arguments.append("*")
            arguments.append(f"{identifier(key)}: {_annotation(contract.declared)}")
        if not inputs and forward is None:
            arguments = ["x: Tensor"]
        self.writer.add()
        path = (*entry.path, "inputs")
        signature = f"{identifier(name)}({', '.join(['self', *arguments])})"
        self.writer.add(f"def {signature}:", 4, path)
        if inputs:
            self._docstring(inputs)
        if entry.container is not None:
            path = (*entry.path, "inputs")
            given = identifier(next(iter(inputs)))
            self.writer.add(f"return super().forward({given})", BODY, path)
        elif forward is None:
            self._in_order(next(iter(inputs), "x"))
        else:
            self._steps(forward, BODY, entry.outputs)

    def write_values(self) -> None:
        """A method for each raw tensor that starts as a computed value."""
        for tensor in self.block.computed:
            self.writer.add()
            self.writer.add(f"def {identifier(tensor.method)}(self):", 4, tensor.path)
            self._steps(tensor.value, BODY, {})

    def _docstring(self, inputs: Mapping[str, ContractNode]) -> None:
        """What the inputs look like, on one line if it fits."""
        shapes = [f"{name}: {contract_text(c)}" for name, c in inputs.items()]
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

    def _steps(
        self, steps: tuple[StepNode, ...], indent: int, outputs: Mapping[str, ContractNode]
    ) -> None:
        for step in steps:
            match step:
                case ReturnNode():
                    self.writer.add(f"return {self._returned(step, outputs)}", indent, step.path)
                case AssignNode():
                    targets = ", ".join(map(identifier, step.targets))
                    self.writer.add(f"{targets} = {self._top(step.value)}", indent, step.path)
                case ForNode():
                    targets = ", ".join(map(identifier, step.targets))
                    iterable = self._iterable(step.value)
                    self.writer.add(f"for {targets} in {iterable}:", indent, step.path)
                    self._steps(step.body, indent + 4, outputs)

    def _returned(self, step: ReturnNode, outputs: Mapping[str, ContractNode]) -> str:
        """A value, several, or a dict of them; outputs with ``when`` only where it holds."""
        value = step.value
        if not isinstance(value, Sequence):
            return self._top(value)
        if step.names:
            return f"{{{', '.join(self._pairs(step.names, value, outputs))}}}"
        texts = [self.printer.text(item, TERNARY) for item in value.items]
        pairs = list(zip(texts, outputs.values(), strict=False))
        always = [text for text, output in pairs if output.always]
        if len(always) == len(pairs):
            return self._top(value)
        condition = next(self._condition(output) for _, output in pairs if not output.always)
        rest = always[0] if len(always) == 1 else tuple_text(always)
        return f"{tuple_text(texts)} if {condition} else {rest}"

    def _pairs(
        self, names: tuple[str, ...], value: Sequence, outputs: Mapping[str, ContractNode]
    ) -> Iterator[str]:
        for name, item in zip(names, value.items, strict=True):
            output = outputs.get(name)
            pair = f"{constant(name)}: {self.printer.text(item, TERNARY)}"
            if output is None or output.always:
                yield pair
            else:
                yield f"**({{{pair}}} if {self._condition(output)} else {{}})"

    def _condition(self, output: ContractNode) -> str:
        return self.printer.text(output.when, OR)

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
        modules = modules_of(node, self.blocks)
        is_dict = bool(modules) and all(module.kind == "ModuleDict" for module in modules)
        return f"{self.printer.text(node)}.values()" if is_dict else self.printer.text(node)


def _annotation(contract: schema.Contract) -> str:
    """The type of an input, and its default."""
    kind = "list[Tensor]" if contract.is_list else "Tensor"
    kind = kind if contract.shape is not None else str(contract.dtype)
    if contract.default is not None:
        return f"{kind}{' | None' * contract.optional} = {constant(contract.default)}"
    return f"{kind}{' | None = None' * contract.optional}"


def contract_text(contract: ContractNode) -> str:
    """A contract for a docstring: ``[batch, seq, hidden_size]``."""
    declared = contract.declared
    sizes = [str(s.value) if isinstance(s, Constant) else written(s) for s in contract.shape]
    text = contract.shape_text(sizes) if declared.shape is not None else str(declared.dtype)
    text = f"list of {text}" if declared.is_list else text
    text = f"{text} for {declared.index} = 0, 1, ..." if declared.index else text
    return f"{text}{' or None' if declared.optional else ''}"
