"""Forward steps: whether each name and call may be used as it is.

A name in a step is a value (an input, a parameter, an earlier target) or a module (a child, an item
of a container). Modules are called, indexed, looped over, or asked for a child or a parameter;
everything else is done with values.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator, Mapping

from archspec.errors import Note, Problem, did_you_mean, listing
from archspec.lang.checker import Checker
from archspec.lang.checks.calls import (
    call_complaint,
    corrected,
    count_complaint,
    inputs_text,
    returns_names,
    values_returned,
)
from archspec.lang.checks.names import BUILTINS, GENERATED_NAMES, is_reserved
from archspec.lang.checks.python_notations import attribute_hint, in_place_hint, method_hint
from archspec.lang.expr import Node, Symbol, nodes, numeric
from archspec.lang.expr.nodes import LOOPS
from archspec.lang.expr.printing import written
from archspec.lang.params import circle_text, ordered
from archspec.lang.references import (
    Modules,
    container_of,
    experts_of,
    members,
    method_calls,
    methods_of,
    modules_of,
    subscript,
)
from archspec.lang.registry import functions, layers
from archspec.lang.registry.attributes import MODULE_ATTRIBUTES
from archspec.lang.resolve import constant_hint
from archspec.lang.sizes import symbol
from archspec.lang.tree import (
    AssignNode,
    BlockNode,
    ForNode,
    ModuleNode,
    ReturnNode,
    SpecTree,
    StepNode,
    TensorNode,
    forward_expressions,
)
from archspec.lang.yaml import Path

VALUE_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device"})


def check_steps(checker: Checker, tree: SpecTree) -> None:
    """Check the forward of every block, and its further methods."""
    for block in tree.blocks.values():
        for entry in block.entries.values():
            _StepChecker(checker, tree, entry, block.methods).check()
        check_method_calls(checker, block)
        for tensor in block.computed:
            _ValueChecker(checker, tree, block).check_value(tensor)


class _StepChecker:
    """Checks the forward of one block, or a method: ``block`` is an entry of one."""

    def __init__(
        self,
        checker: Checker,
        tree: SpecTree,
        block: BlockNode,
        methods: Mapping[str, BlockNode] | None = None,
    ) -> None:
        self.checker, self.refuse = checker, checker.refuse
        self.blocks, self.block, self.methods = tree.blocks, block, methods or {}
        self.path = (*block.path, "forward")
        self.targets = set[str]()  # of the steps so far
        self.values = {*tree.params, *tree.let, *block.params, *block.let}
        self.numeric = {call.name for call in _numeric_calls(block)}
        self.taken: dict[str, tuple[str, Path]] = {
            **{name: ("a global parameter", p.path) for name, p in tree.params.items()},
            **{name: ("a local value of the spec", p.path) for name, p in tree.let.items()},
            **{name: ("a parameter of the block", p.path) for name, p in block.params.items()},
            **{name: ("a local value of the block", p.path) for name, p in block.let.items()},
            **{name: ("a module", m.path) for name, m in block.modules.items()},
            **{name: ("a tensor of the block", t.path) for name, t in block.tensors.items()},
            **{name: ("a method of the block", m.path) for name, m in self.methods.items()},
        }

    def check(self) -> None:
        forward = self.block.forward
        if forward is None:
            self._check_default_forward()
            return
        self._check_all(forward, self.path)

    def _check_all(self, steps: tuple[StepNode, ...], path: Path) -> None:
        """Steps that end with a return."""
        self._check_steps(steps, inside=False)
        if not any(isinstance(step, ReturnNode) for step in steps):
            at = (*steps[-1].path[: len(path)], len(steps) - 1)
            if not self.checker.document.has(path):  # a method in its short form
                at = (*path[:-1], len(steps) - 1)
            hint = "add a step {return: …}"
            name = path[-1] if len(self.block.path) == 2 else self.block.path[-1]
            self.checker.add("E308", f"{name} ends without a return", at, hint=hint)

    def _check_default_forward(self) -> None:
        if len(self.block.inputs) > 1:
            message = "without forward, the modules run in order on a single input"
            path = (*self.block.path, "inputs")
            self.checker.add("E308", message, path, key=True, hint="write the forward steps")
        if self.block.container is not None:
            return  # which says itself what its items may be
        for module in self.block.modules.values():
            if module.kind in ("ModuleList", "ModuleDict"):
                hint = "use a Sequential, or write the forward steps"
                path = (*module.path, "type")
                self.checker.add("E308", f"a {module.kind} cannot be called", path, hint=hint)

    def _check_steps(self, steps: tuple[StepNode, ...], *, inside: bool) -> None:
        for step in steps:
            match step:
                case ReturnNode():
                    self._return(step, inside=inside, last=step is steps[-1])
                case AssignNode():
                    self._value(step.value)
                    self._check_count(step.value, len(step.targets))
                    for target in step.targets:
                        self._bind(target, step.path)
                case ForNode():
                    self._loop(step)
                    for target in step.targets:
                        self._bind(target, step.path)
                    self._check_steps(step.body, inside=True)

    def _return(self, step: ReturnNode, *, inside: bool, last: bool) -> None:
        if inside:
            hint = "there is no early exit: give a name a value, and return it after the loop"
            self.checker.add("E308", "return inside a loop", step.path, key=True, hint=hint)
        elif not last:
            self.checker.add("E308", "return must be the last step", step.path, key=True)
        self._value(step.value)
        if not self.checker.findings.is_broken_below((*self.block.path, "outputs")):
            self._check_outputs(step)

    def _check_outputs(self, step: ReturnNode) -> None:
        """What is returned must be the outputs: as many values, or the same names."""
        outputs, name, value = self.block.outputs, self.block.name, step.value
        values = value.items if isinstance(value, nodes.Sequence) else None
        if step.names and outputs:
            for key in step.names:
                if key not in outputs:
                    hint = did_you_mean(key, outputs) or f"its outputs: {listing(list(outputs))}"
                    message = f"{name} has no output '{key}'"
                    at, cause = (*step.path, key), (*self.block.path, "outputs")
                    self.checker.add("E305", message, at, key=True, hint=hint, cause=cause)
            if missing := [key for key in outputs if key not in step.names]:
                message = f"{name} does not return its output '{missing[0]}'"
                self.refuse(value, "E305", message, cause=outputs[missing[0]].path)
        elif values is not None and outputs and len(values) != len(outputs):
            given = "1 value" if len(values) == 1 else f"{len(values)} values"
            message = f"{name} returns {given}, its outputs are {len(outputs)}"
            hint, cause = "return one value for each output: a, b", (*self.block.path, "outputs")
            self.refuse(value, "E305", message, hint, cause=cause)
        elif not step.names and (optional := [o for o in outputs.values() if not o.always]):
            together = all(output.when == optional[0].when for output in optional)
            if values is None or not together or len(optional) == len(outputs):
                hint = self._each_by_name(value)
                message = "without names, all outputs with 'when' have the same one"
                self.refuse(value, "E305", message, hint)

    def _each_by_name(self, value: nodes.Node) -> str:
        """How outputs of which some may be left out are returned, also those of another block."""
        called = modules_of(value.function, self.blocks) if isinstance(value, nodes.Call) else ()
        blocks = [self.blocks.get(module.kind) for module in called or ()]
        if not blocks or not all(block and returns_names(block) for block in blocks):
            return "return each with its name: {return: {out: a, aux: b}}"
        name = next(n for n in ("result", "results", "returned") if n not in self.taken)
        items = ", ".join(f"{key}: \"{name}['{key}']\"" for key in self.block.outputs)
        return f"write {{{name}: {written(value)}}}, then {{return: {{{items}}}}}"

    def _bind(self, target: str, path: Path) -> None:
        """A step may rebind an input or an earlier target, nothing else."""
        key = path[-1] != "for"
        if keyword.iskeyword(target):
            hint = _KEYWORDS.get(target, "choose another name")
            message = f"'{target}' is a Python keyword"
            self.checker.add("E308", message, path, key=key, hint=hint)
            return
        what, at = self.taken.get(target, ("", ()))
        reserved = functions.CONSTANTS.keys() | {"training"} | GENERATED_NAMES | BUILTINS
        what = what or ("a function that a step calls" if target in self.numeric else "")
        if what or target in reserved or is_reserved(target):
            document, means = self.checker.document, what or "a word of the generated code"
            message = f"'{target}' cannot be a target: it is {means}"
            notes = (Note("declared here", document.place(at, key=True)),) if at else ()
            place, hint = document.place(path, key=key), "choose another name"
            if target in self.block.buffers:
                hint = f"a buffer is updated in place: {{_: copy_({target}, …)}}"
            self.checker.findings.add(Problem("E308", message, place, hint, notes))
        self.targets.add(target)

    # ----------------------------------------------------------------------------------- loops

    def _loop(self, step: ForNode) -> None:
        call, targets = step.value, len(step.targets)
        if not (isinstance(call, nodes.Call) and call.name in LOOPS):
            found = self._run(call)
            if found and targets > 1:
                message = f"the loop gives 1 module, but there are {targets} targets"
                self.refuse(call, "E305", message, "to count them: enumerate(…)")
            return
        wanted = {"enumerate": 2, "range": 1, "zip": len(call.arguments)}[call.name]
        least, most = {"enumerate": (1, 1), "range": (1, 3), "zip": (1, 16)}[call.name]
        if call.keywords or not least <= len(call.arguments) <= most:
            takes = "1 argument" if most == 1 else f"{least} to {most} arguments"
            self.refuse(call, "E305", f"{call.name} takes {takes}")
        if targets != wanted:
            self.refuse(call, "E305", count_complaint(call.name, wanted, targets))
        for argument in call.arguments:
            if call.name == "range":
                self._value(argument)
            else:
                self._run(argument)

    def _run(self, node: Node) -> Modules:
        """What a loop runs over: containers, or values."""
        found = self._resolve(node)
        if found and not all(container_of(module, self.blocks) for module in found):
            self.refuse(node, "E305", "a loop needs a container or values, this is a module")
        return found

    # ----------------------------------------------------------------------------- expressions

    def _check_count(self, node: Node, targets: int) -> None:
        """Several targets take as many values, where that can be seen."""
        name, given = "this", None
        if targets == 1:
            return
        if isinstance(node, nodes.Sequence):
            given = len(node.items)
        elif isinstance(node, nodes.Call):
            child = self.block.modules.get(node.name)
            block = self.blocks.get(child.kind) if child else self.methods.get(node.name)
            if block is not None:
                name, given = block.name, values_returned(block)
                if names := returns_names(block):
                    hint = f"take each by its name: {written(node)}['{names[0]}']"
                    self.refuse(node, "E305", f"{name} returns a dict", hint)
        if given is not None and given != targets:
            self.refuse(node, "E305", count_complaint(name, given, targets))

    def _value(self, node: Node) -> None:
        """``node`` where a value is wanted."""
        if self._resolve(node):
            name = written(node)
            hint = f"call it: {name}(…)"
            if name in self.values:
                hint += f"; for the parameter, write let: {{{name}_value: ${name}}}"
            self.refuse(node, "E305", f"'{name}' is a module, not a value", hint)

    def _resolve(self, node: Node) -> Modules:
        """The modules that ``node`` stands for, checked on the way; None if it is a value."""
        match node:
            case nodes.Broken() | nodes.Constant():
                return None
            case nodes.Name():
                self._name(node)
                return modules_of(node, self.blocks)
            case nodes.Attribute(value=nodes.Call(name="finfo") as call):
                self._finfo(node, call)
            case nodes.Attribute():
                return self._attribute(node, self._resolve(node.value))
            case nodes.Subscript():
                self._index(node.index)
                return self._subscript(node, self._resolve(node.value))
            case nodes.Call():
                self._call(node)
            case _:
                for test in nodes.conditions(node):
                    self._check_condition(test)
                for child in nodes.children(node):
                    self._value(child)
        return None

    def _check_condition(self, test: Node) -> None:
        """Which way to go must be known without the values of tensors."""
        if not (isinstance(test, nodes.Name) and test.symbol and test.symbol.kind == "input"):
            return
        contract = self.block.inputs[test.id].declared
        if contract.is_tensor:
            message = f"'{test.id}' is a tensor: a condition cannot ask for its value"
            hint = f"write where({test.id}, a, b), or … is None"
            if contract.sizes == []:
                hint += f"; a flag of Python's is declared {test.id}: bool"
            self.refuse(test, "E305", message, hint)

    def _name(self, node: nodes.Name) -> None:
        if node.symbol is None:
            known = [*self.targets, *self.block.inputs, *self.taken, *functions.CONSTANTS]
            hint = did_you_mean(node.id, known)
            if not hint and functions.find(node.id):
                hint = f"{node.id} is a function: call it"
            hint = constant_hint(node.id) or self._size_hint(node.id) or hint
            hint = hint or "a name is an input, a child, a parameter or an earlier target"
            self.refuse(node, "E303", f"unknown name '{node.id}'", hint)
        elif node.symbol.kind == "param" and node.symbol.is_class:
            self.refuse(node, "E303", f"'{node.id}' is a class, not a value")
        elif node.symbol.kind == "method":
            message = f"'{node.id}' is a method, not a value"
            self.refuse(node, "E305", message, f"call it: {node.id}(…)")

    def _size_hint(self, name: str) -> str:
        """What to write for the name of a dimension."""
        for contract in self.block.inputs.values():
            at = next((i for i, size in enumerate(contract.shape) if symbol(size) == name), None)
            if at is not None and contract.declared.is_tensor:
                behind = contract.declared.open_at is not None and at >= contract.declared.open_at
                return f"write {contract.name}.shape[{at - len(contract.shape) if behind else at}]"
        return ""

    def _attribute(self, node: nodes.Attribute, owners: Modules) -> Modules:
        if owners is None:
            if node.name not in VALUE_ATTRIBUTES:
                hint = f"values have {', '.join(sorted(VALUE_ATTRIBUTES))}"
                hint = attribute_hint(node.name, written(node.value)) or hint
                self.refuse(node, "E304", f"no attribute '{node.name}'", hint)
            return None
        if node.name in MODULE_ATTRIBUTES:
            hint = "a step uses a module's children and tensors, and calls it"
            self.refuse(node, "E304", f"no child or parameter '{node.name}'", hint)
            return ()
        found = [(owner, members(owner, node.name, self.blocks)) for owner in owners]
        lacking = [known for owner, known in found if self._lacks(owner, node.name, known)]
        if lacking:
            known = list(dict.fromkeys(name for names in lacking for name in names or ()))
            hint = (
                did_you_mean(node.name, known)
                or f"it has: {listing(known) or 'nothing of its own'}"
            )
            if not known and any(container_of(owner, self.blocks) for owner in owners):
                hint = f"call an item, as {written(node.value)}[0], or loop over them"
            if methods_of(owners, node.name, self.blocks):
                hint = f"it is a method: call it, {written(node)}(…)"
            self.refuse(node, "E304", f"no child or parameter '{node.name}'", hint)
            return ()
        return modules_of(node, self.blocks)

    def _lacks(
        self, owner: ModuleNode, name: str, known: Mapping[str, ModuleNode | None] | None
    ) -> bool:
        if known is None or name in known:
            return False
        groups = ("modules", "parameters", "buffers") if owner.kind in self.blocks else ()
        return not any(
            self.checker.is_broken(("blocks", owner.kind, group, name)) for group in groups
        )

    def _subscript(self, node: nodes.Subscript, owners: Modules) -> Modules:
        if isinstance(node.value, nodes.Constant):
            self.refuse(node, "E305", "a number or a text cannot be indexed")
        if owners and not all(container_of(module, self.blocks) for module in owners):
            self.refuse(node, "E305", "only a container can be indexed")
            return ()
        if isinstance(node.index, nodes.Slice):
            for block in [m.kind for m in owners or () if m.kind in self.blocks][:1]:
                hint = "PyTorch makes slices by constructing the class: index one item, or loop"
                self.refuse(node, "E305", f"a part of a {block} is none of its kind", hint)
        return subscript(owners, node.index, self.blocks)

    def _index(self, node: Node) -> None:
        for part in nodes.index_parts(node):
            for bound in nodes.children(part) if isinstance(part, nodes.Slice) else (part,):
                self._value(bound)

    # ----------------------------------------------------------------------------------- calls

    def _call(self, call: nodes.Call) -> None:
        for argument in call.given:
            if call.name in ("len", *LOOPS):
                self._resolve(argument)
            elif argument is experts_of(call):
                self._experts(argument)
            else:
                self._value(argument)
        match call.function:
            case nodes.Name(id=name, symbol=Symbol(kind="function")):
                self._function(name, call)
            case nodes.Name(id=name, symbol=Symbol(kind="method")):
                check_call(self.checker, self.methods[name], call)
            case nodes.Attribute(value=owner, name=name) if called := methods_of(
                modules_of(owner, self.blocks), name, self.blocks
            ):
                self._resolve(owner)
                for method in called:
                    check_call(self.checker, method, call)
            case nodes.Name(id=name, symbol=Symbol(kind="numeric")):
                if complaint := numeric.count_complaint(name, len(call.arguments)):
                    self.refuse(call, "E305", complaint)
            case nodes.Name(id=name, symbol=Symbol() as symbol) if (
                modules_of(call.function, self.blocks) is None
            ):
                self._called_value(name, symbol, call)
            case nodes.Attribute(value=owner) if self._is_value(owner):
                self._method(call.function, owner)
            case nodes.Attribute(value=nodes.Attribute() | nodes.Subscript() as owner) if (
                modules_of(owner, self.blocks) is None
            ):  # fc.weight.t(), xs[0].size()
                before = len(self.checker.findings)
                if self._resolve(owner) is None and len(self.checker.findings) == before:
                    self._method(call.function, owner)
            case function:
                self._module_call(call, function)

    def _called_value(self, name: str, symbol: Symbol, call: nodes.Call) -> None:
        message = f"'{name}' is a value and cannot be called"
        if symbol.kind in ("input", "local"):
            message = f"'{name}' cannot be called"
        hint = ""
        if functions.find(name) is not None:
            hint = "it hides the function: call a module that does the same, or rename the value"
        self.refuse(call.function, "E304", message, hint)

    def _module_call(self, call: nodes.Call, function: Node) -> None:
        found = self._resolve(function)
        if found is None or self._is_method(function, found):
            self.refuse(function, "E304", f"'{written(function)}' cannot be called")
        elif len({self.blocks.get(module.kind) for module in found}) == 1:
            self._check_inputs(found[0], call)

    def _is_method(self, function: Node, found: Modules) -> bool:
        """Whether a call may be one of a method: what a registered layer holds is unknown."""
        if found or not isinstance(function, nodes.Attribute):
            return False
        owners = modules_of(function.value, self.blocks) or ()
        held = [layers.find(owner.kind) for owner in owners]
        return any(layer is not None and layer.registered for layer in held)

    def _method(self, node: nodes.Attribute, owner: Node) -> None:
        """``x.mean()``, or ``torch.mean(x)``: neither is of the language, but ``mean(x)`` is."""
        known = functions.find(node.name) is not None
        if isinstance(owner, nodes.Name) and owner.symbol is None:
            hint = f"write {node.name}(…)" if known else "functions have plain names"
            hint = _NO_RECURSION if node.name == "forward" else hint
            self.refuse(owner, "E303", f"unknown name '{owner.id}'", hint)
        else:
            hint = method_hint(node.name, written(owner))
            message = f"values have no methods such as '{node.name}'"
            self.refuse(node, "E304", message, hint)

    def _is_value(self, node: Node) -> bool:
        """Whether a node is a value at first sight: its problems are not reported here."""
        if isinstance(node, nodes.Name):
            return modules_of(node, self.blocks) is None
        return not isinstance(node, nodes.Attribute | nodes.Subscript)

    def _experts(self, node: Node) -> None:
        """A list of modules that ``route`` calls, each with some of the rows."""
        found = self._resolve(node)
        if found is None or not all(module.kind == "ModuleList" for module in found):
            hint = "experts: {type: ModuleList, items: [{type: …, repeat: …}]}"
            self.refuse(node, "E305", "route takes a ModuleList of experts", hint)

    def _function(self, name: str, call: nodes.Call) -> None:
        keywords = [keyword.name for keyword in call.keywords]
        if name == "len":
            if keywords or len(call.arguments) != 1:
                self.refuse(call, "E305", "len takes 1 argument")
        elif function := functions.find(name):
            if complaint := function.problem_with(len(call.arguments), keywords):
                hint = f"its arguments: {listing(function.arguments)}" if function.arguments else ""
                self.refuse(call, "E305", complaint, hint)
            elif any(_is_device(word) for word in call.keywords):
                hint = "write device=x.device: the device is chosen when the model is built"
                self.refuse(call, "E305", "a step names no device", hint)
            elif name == "copy_" and not self._is_own_buffer(call.arguments[0]):
                hint = "everything else is computed anew: {x: …}"
                self.refuse(call, "E305", "copy_ writes into a buffer of the block alone", hint)
        else:
            hint = in_place_hint(name)
            hint = hint or functions.instead_of(name, [*self.block.modules, "len"])
            hint = _NO_RECURSION if name == "forward" else hint
            message = f"no function or child is called '{name}'"
            self.refuse(call.function, "E304", message, hint)

    def _is_own_buffer(self, node: Node) -> bool:
        return isinstance(node, nodes.Name) and node.id in self.block.buffers

    def _finfo(self, node: nodes.Attribute, call: nodes.Call) -> None:
        """``finfo(x.dtype).min``"""
        for argument in call.given:
            self._value(argument)
        if len(call.arguments) != 1 or call.keywords:
            self.refuse(call, "E305", "finfo takes 1 argument", "write finfo(x.dtype)")
        elif node.name not in numeric.FINFO_ATTRIBUTES:
            hint = f"finfo has {', '.join(numeric.FINFO_ATTRIBUTES)}"
            self.refuse(node, "E304", f"no attribute '{node.name}'", hint)

    def _check_inputs(self, module: ModuleNode, call: nodes.Call) -> None:
        kind = module.kind
        if kind in ("ModuleList", "ModuleDict"):
            hint = "call its items, or use a Sequential"
            self.refuse(call, "E305", f"a {kind} cannot be called", hint)
        elif kind == "Sequential":
            if len(call.arguments) != 1 or call.keywords:
                self.refuse(call, "E305", "a Sequential takes exactly one input")
        elif block := self.blocks.get(kind):
            check_call(self.checker, block, call)


def check_method_calls(checker: Checker, block: BlockNode) -> None:
    """Methods of one block do not call each other in a circle."""
    calls = method_calls(block)
    if circles := ordered(calls)[1]:
        circle = circles[0]
        last = calls[circle[-1]][circle[0]]  # the call that closes the circle
        checker.refuse(last, "E211", f"a method calls itself: {circle_text(circle)}")
        checker.findings.broken.add((*block.path, "methods", circle[0]))


class _ValueChecker(_StepChecker):
    """Checks the steps that compute what a raw tensor starts as, from parameters alone."""

    def check_value(self, tensor: TensorNode) -> None:
        self.outside = {
            **dict.fromkeys(self.block.inputs, "an input"),
            **dict.fromkeys(self.block.modules, "a module"),
            **dict.fromkeys(self.block.tensors, "a tensor of the block"),
            "training": "known when the model runs",
        }
        self._check_all(tensor.value, (*tensor.path, "value"))

    def _name(self, node: nodes.Name) -> None:
        if not self._refuse_outside(node):
            super()._name(node)

    def _function(self, name: str, call: nodes.Call) -> None:
        is_function = name in functions.names() and name not in self.targets
        if is_function or not self._refuse_outside(call.function):
            super()._function(name, call)

    def _refuse_outside(self, node: Node) -> bool:
        """Whether a name is one that only a forward knows, which is reported."""
        name = node.id if isinstance(node, nodes.Name) else ""
        symbol = node.symbol if isinstance(node, nodes.Name) else None
        if name not in self.outside or (symbol and symbol.kind != "function"):
            return False
        message = f"'{name}' is {self.outside[name]}: a value cannot use it"
        hint = "a value is computed from parameters, when the model is made"
        self.refuse(node, "E303", message, hint)
        return True

    def _check_outputs(self, step: ReturnNode) -> None:
        if step.names:
            self.refuse(step.value, "E305", "a value is one tensor, not a dict")
        elif isinstance(step.value, nodes.Sequence):
            hint = f"write tensor([{', '.join(map(written, step.value.items))}])"
            self.refuse(step.value, "E305", "a value is one tensor, not a list", hint)


def _numeric_calls(block: BlockNode) -> Iterator[nodes.Call]:
    """The calls of a forward that compute with plain numbers."""
    for node in forward_expressions(block):
        for part in nodes.walk(node):
            match part:
                case nodes.Call(function=nodes.Name(symbol=Symbol(kind="numeric"))):
                    yield part
                case _:
                    pass


def check_call(checker: Checker, block: BlockNode, call: nodes.Call) -> None:
    """A call of a block must give it its inputs."""
    if checker.findings.is_broken_below((*block.path, "inputs")):
        return
    if complaint := call_complaint(block.name, block.inputs, call):
        by_name = corrected(block.inputs, call)
        hint = f"write {by_name}" if by_name else f"its inputs: {inputs_text(block.inputs)}"
        cause = (*block.path, "inputs") if block.inputs else block.path
        checker.refuse(call, "E305", complaint, hint, cause=cause)


def _is_device(keyword: nodes.Keyword) -> bool:
    value = keyword.value
    return (
        keyword.name == "device" and isinstance(value, nodes.Constant) and value.value is not None
    )


_NO_RECURSION = "a block does not call itself: call a child, fc(x), or one of its methods"
_KEYWORDS = {
    "break": "there is no early exit: run all rounds, and choose the result with a if c else b",
    "continue": "there is no early exit: choose with a if c else b",
    "if": "there is no conditional step: write a if c else b",
    "while": "loops have a known number of rounds: {for: i in range(n), do: [steps]}",
    "return": "return stands alone: {return: a, b}",
}
