"""One block as a class: its signature and its ``__init__``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, cast

from archspec.codegen.groups import Items, Loops, loop_header, needs_loop
from archspec.codegen.names import Names, attributes_of, class_params, known_value, names_used
from archspec.codegen.printing import ArgumentPrinter, constant, identifier
from archspec.codegen.writer import Writer
from archspec.errors import Problem, SpecError
from archspec.lang import schema
from archspec.lang.expr import Node
from archspec.lang.expr.nodes import Conditional, Constant, Name
from archspec.lang.expr.printing import OR, TERNARY, written
from archspec.lang.params import needed_names, ordered
from archspec.lang.registry import layers
from archspec.lang.registry.initializers import INITIALISERS
from archspec.lang.tree import (
    BlockNode,
    GroupNode,
    InitNode,
    ItemNode,
    ModuleNode,
    ParamNode,
    TensorNode,
)

BODY = 8  # columns before the statements of a method
_ANNOTATIONS = {"block": "type[nn.Module]", "layer": "type[nn.Module]"}


class Constructor:
    """Writes ``class X(nn.Module)`` and its ``__init__`` for one block."""

    def __init__(self, names: Names, name: str, writer: Writer) -> None:
        self.names, self.name, self.writer = names, name, writer
        self.block = names.tree.blocks[name]
        self.printer = ArgumentPrinter(names.classes)
        self.configured = name in names.configured

    def write(self) -> None:
        block, add = self.block, self.writer.add
        base = block.container.kind if block.container else "Module"
        add(f"class {identifier(self.name)}(nn.{base}):", path=block.path)
        signature = ", ".join(["self", *self._signature()])
        add(f"def __init__({signature}):", 4, block.path)
        if block.container is not None:
            self._defaults()
            path = (*block.path, "items")
            needs = needs_loop(block.container)
            write = Loops(self).write
            given = write(block.container, BODY) if needs else self._items(block.container)
            add(f"super().__init__({given})", BODY, path)
            return
        add("super().__init__()", BODY, block.path)
        self._defaults()
        self._store_params()
        for name, module in block.modules.items():
            self._child(name, module)
        self._tensors()

    def _defaults(self) -> None:
        """Defaults and local values that are computed, each behind those that it needs."""
        block, add = self.block, self.writer.add
        used = names_used(block) if block.let else set[str]()
        for name in ordered(needed_names(block.params, block.let))[0]:
            if name not in block.params:
                local = block.let[name]
                if name in used:
                    text = self.printer.text(local.value)
                    add(f"{identifier(name)} = {text}", BODY, local.path)
                continue
            param = block.params[name]
            if param.default is not None and param.is_computed:
                text = self._param_value(param, param.default)
                add(f"if {identifier(name)} is None:", BODY, param.path)
                add(f"{identifier(name)} = {text}", BODY + 4, param.path)

    def _signature(self) -> list[str]:
        required: list[str] = []
        defaults: list[str] = []
        if self.configured:
            is_root = self.name == self.names.root
            required.append("config: Config = Config()" if is_root else "config: Config")
        for name, param in self.block.params.items():
            kind, name = annotation(param.declared), identifier(name)
            if param.default is None:
                required.append(f"{name}: {kind}" if kind else name)
            elif param.is_computed:
                defaults.append(f"{name}: {kind} | None = None" if kind else f"{name}=None")
            else:
                text = self._param_value(param, param.default)
                nullable = " | None" if param.declared.default is None and kind else ""
                defaults.append(f"{name}: {kind}{nullable} = {text}" if kind else f"{name}={text}")
        return required + defaults

    def _param_value(self, param: ParamNode, value: Node) -> str:
        return self._class(value) if param.is_class else self.printer.text(value)

    def _store_params(self) -> None:
        """What other methods need of the parameters, they read from the module."""
        attributes = attributes_of(self.block)
        for name, declared in {**self.names.tree.params, **self.names.tree.let}.items():
            if name in attributes and name in self.names.values:
                text = f"self.{identifier(attributes[name])} = config.{identifier(name)}"
                self.writer.add(text, BODY, declared.path)
        for name, declared in {**self.block.params, **self.block.let}.items():
            if name in attributes:
                text = f"self.{identifier(attributes[name])} = {identifier(name)}"
                self.writer.add(text, BODY, declared.path)

    # ------------------------------------------------------------------------------- children

    def _child(self, name: str, module: ModuleNode) -> None:
        path, add, name = module.path, self.writer.add, identifier(name)
        condition = self.printer.text(module.when)
        if condition == "True":
            add(f"self.{name} = {self._made(module, BODY)}", BODY, path)
        elif condition == "False":
            if module.is_container:
                add(f"self.{name} = nn.{module.kind}()", BODY, path)
        else:
            add(f"if {condition}:", BODY, (*path, "when"))
            add(f"self.{name} = {self._made(module, BODY + 4)}", BODY + 4, path)
            if module.is_container:
                add("else:", BODY)
                add(f"self.{name} = nn.{module.kind}()", BODY + 4, path)

    def _made(self, module: ModuleNode, indent: int) -> str:
        """The expression that makes a child, behind statements that it needs."""
        if not needs_loop(module):
            return self.call(module)
        return f"nn.{module.kind}({Loops(self).write(module, indent)})"

    def call(self, module: ModuleNode) -> str:
        """The expression that constructs a module, whatever its ``when`` says."""
        if module.is_container:
            return self._container(module)
        return self._choice(module.type, module)

    def _choice(self, node: Node, module: ModuleNode) -> str:
        """A call of each class that a ``type:`` can come to."""
        if isinstance(node, Conditional):
            yes, no = self._choice(node.yes, module), self._choice(node.no, module)
            return f"{yes} if {self.printer.text(node.test, OR)} else {no}"
        if isinstance(node, Name) and node.id in self.block.params:
            # A parameter of the block holds the class: a block takes the config, a layer not.
            kind = self.block.params[node.id].declared.type
            config = ["config"] if self.configured and kind == "block" else []
            return f"{identifier(node.id)}({', '.join(config + self._any_arguments(module))})"
        return self._call_of(self._known_class(node), module)

    def _call_of(self, kind: str, module: ModuleNode) -> str:
        """A call of the block or layer of that name."""
        text = class_text(kind, self.names)
        if block := self.names.tree.blocks.get(kind):
            return f"{text}({', '.join(self._block_arguments(block, module))})"
        return f"{text}({', '.join(self._layer_arguments(layers.find(kind), module))})"

    def _known_class(self, node: Node) -> str:
        """The class that a node comes to, known when the code is made."""
        if isinstance(node, Constant):
            return str(node.value)
        value = known_value(node, self.names.spec)
        if isinstance(value, str):
            return value
        message = f"'{written(node)}' cannot choose a class"
        hint = "a type is a name, a block or layer parameter, or 'A' if … else 'B'"
        place = self.names.spec.document.place(node.span.path)
        raise SpecError(Problem("E302", message, place, hint))

    def _block_arguments(self, block: BlockNode, module: ModuleNode) -> list[str]:
        arguments = ["config"] if block.name in self.names.configured else []
        for key, value in module.arguments.items():
            is_class = key in block.params and block.params[key].is_class
            text = self._class(cast(Node, value)) if is_class else self.value(value)
            arguments.append(f"{identifier(key)}={text}")
        return arguments

    def _any_arguments(self, module: ModuleNode) -> list[str]:
        """Arguments of whichever class a parameter holds."""
        classes = class_params(module, self.names.tree)
        return [
            f"{identifier(key)}={self._class(value)}"
            if key in classes and not isinstance(value, ModuleNode)
            else f"{identifier(key)}={self.value(value)}"
            for key, value in module.arguments.items()
        ]

    def _layer_arguments(self, layer: layers.Layer | None, module: ModuleNode) -> list[str]:
        """As the field writes them: the first two required ones by position, the rest by name."""
        given = module.arguments
        by_position: list[str] = []
        for argument in layer.arguments[:2] if layer is not None else ():
            if not argument.required or argument.name not in given:
                break
            by_position.append(argument.name)
        arguments = [self.value(given[name]) for name in by_position]
        by_name = [name for name in given if name not in by_position]
        return arguments + [f"{identifier(name)}={self.value(given[name])}" for name in by_name]

    def _container(self, module: ModuleNode) -> str:
        return f"nn.{module.kind}({self._items(module)})"

    def _items(self, module: ModuleNode) -> str:
        """What the constructor of a container is given."""
        items = self.there(module.items)
        if not items:
            return ""
        if module.is_mapping or module.item_modules[0].name is not None:
            pairs = [self._named_item(key, item) for key, item in items]
            inner = f"{{{', '.join(pairs)}}}"
            return inner if module.kind == "ModuleDict" else f"OrderedDict({inner})"
        texts = [self._listed_item(item) for _, item in items]
        if module.kind == "Sequential":
            return ", ".join(texts)
        only_loop = len(texts) == 1 and texts[0].startswith("*[")
        return texts[0][1:] if only_loop else f"[{', '.join(texts)}]"

    def there(self, items: Items) -> list[tuple[str | int, ItemNode]]:
        """The items without those that are never there, whose class may be null."""
        return [pair for pair in items if not self._is_never(pair[1])]

    def _is_never(self, item: ItemNode) -> bool:
        if isinstance(item, GroupNode):
            return not item.carry and all(self._is_never(inner) for _, inner in item.items)
        return not item.is_container and self.printer.text(item.when) == "False"

    def _listed_item(self, item: ItemNode) -> str:
        if isinstance(item, GroupNode):
            call, condition = self.item(item.item_modules[0])
            tested = f" if {condition}" * bool(condition)
            return f"*[{call} {loop_header(item, self.printer)}{tested}]"
        call, condition = self.item(item)
        if item.repeat is not None:
            return f"*[{call}{self._loop(item, item.repeat)}{f' if {condition}' * bool(condition)}]"
        return f"*([{call}] if {condition} else [])" if condition else call

    def _named_item(self, key: str | int, item: ItemNode) -> str:
        loop = ""
        if isinstance(item, GroupNode):
            loop, item = f" {loop_header(item, self.printer)}", item.item_modules[0]
        call, condition = self.item(item)
        name = constant(str(key)) if item.name is None else self.printer.text(item.name, TERNARY)
        pair = f"{name}: {call}"
        loop = loop if item.repeat is None else self._loop(item, item.repeat)
        if loop:
            return f"**{{{pair}{loop}{f' if {condition}' * bool(condition)}}}"
        return f"**({{{pair}}} if {condition} else {{}})" if condition else pair

    def item(self, item: ModuleNode) -> tuple[str, str]:
        """The call that makes an item, and the condition under which it is there at all."""
        call, condition = self.call(item), self.printer.text(item.when, OR)
        if condition == "True":
            return call, ""
        if item.is_container:  # emptied, not left out
            return f"({call} if {condition} else nn.{item.kind}())", ""
        return call, condition

    def _loop(self, item: ModuleNode, repeat: Node) -> str:
        counter = identifier(item.index or "_")
        return f" for {counter} in range({self.printer.text(repeat)})"

    # --------------------------------------------------------------------------- raw tensors

    def _tensors(self) -> None:
        block, add = self.block, self.writer.add
        for condition, together in groupby(
            block.tensors.values(), lambda one: self.printer.text(one.when)
        ):
            tensors = list(together)
            if condition == "True":
                self._register(tensors, BODY)
            elif condition == "False":
                self._register_none(tensors, BODY)
            else:
                add(f"if {condition}:", BODY, (*tensors[0].path, "when"))
                self._register(tensors, BODY + 4)
                add("else:", BODY)
                self._register_none(tensors, BODY + 4)
        if len(block.computed) < len(block.tensors):
            add("self.reset_parameters()", BODY)

    def _register(self, tensors: Iterable[TensorNode], indent: int) -> None:
        for one in tensors:
            text = f"self.{identifier(one.name)} = nn.Parameter({self._first(one)})"
            if isinstance(one.declared, schema.Buffer):
                persistent = "" if one.declared.persistent else ", persistent=False"
                call = f"self.register_buffer({constant(one.name)}"
                text = f"{call}, {self._first(one)}{persistent})"
            self.writer.add(text, indent, one.path)

    def _register_none(self, tensors: Iterable[TensorNode], indent: int) -> None:
        for one in tensors:
            kind = "buffer" if isinstance(one.declared, schema.Buffer) else "parameter"
            text = f"self.register_{kind}({constant(one.name)}, None)"
            self.writer.add(text, indent, one.path)

    def write_reset(self) -> None:
        """``reset_parameters``: the raw tensors' first values, as every layer of PyTorch has it."""
        add = self.writer.add
        if not self.block.tensors:
            return
        add()
        if self.block.computed:
            add("@torch.no_grad()", 4)
        add("def reset_parameters(self):", 4)
        printer = ArgumentPrinter(self.names.classes, "self", attributes_of(self.block))
        for name, tensor in self.block.tensors.items():
            indent = BODY
            if not tensor.always:
                add(f"if self.{identifier(name)} is not None:", BODY, (*tensor.path, "when"))
                indent += 4
            if tensor.value:
                text = f"self.{identifier(name)}.copy_(self.{identifier(tensor.method)}())"
                add(text, indent, tensor.path)
                continue
            values = [(key, printer.text(node)) for key, node in tensor.init.arguments.items()]
            text = initializer_text(tensor.init, f"self.{identifier(name)}", values)
            add(text, indent, tensor.path)

    def _first(self, tensor: TensorNode) -> str:
        """The tensor that is stored: of a value a computed one, else an empty one."""
        dtype = f"torch.{tensor.declared.dtype}" if tensor.declared.dtype else ""
        if tensor.value:
            text = f"self.{identifier(tensor.method)}()"
            return f"{text}.to({dtype})" if dtype else text
        sizes = [self.printer.text(size) for size in tensor.shape or ()]
        dtype = f", dtype={dtype}" if dtype else ""
        return f"torch.empty({', '.join(sizes) or '()'}{dtype})"

    # ---------------------------------------------------------------------------- expressions

    def value(self, value: Node | ModuleNode) -> str:
        """An argument as Python."""
        if isinstance(value, ModuleNode):
            return self.call(value)
        return self.printer.text(value, TERNARY)

    def _class(self, node: Node) -> str:
        """An argument that is a class, as Python."""
        if isinstance(node, Conditional):
            yes, no = self._class(node.yes), self._class(node.no)
            return f"{yes} if {self.printer.text(node.test, OR)} else {no}"
        if isinstance(node, Name) and node.id in self.block.params:
            return identifier(node.id)
        is_null = isinstance(node, Name) and self.names.classes.get(node.id, "") is None
        if is_null or (isinstance(node, Constant) and node.value is None):
            return "None"
        return class_text(self._known_class(node), self.names)


def class_text(name: str, names: Names) -> str:
    """A class as the generated module spells it; never a text that names none.

    Raises:
        SpecError: E206, for the branch of a choice that names neither a block nor a layer.
    """
    if name in names.tree.blocks:
        return identifier(name)
    layer = layers.find(name)
    if layer is None and name not in layers.CONTAINERS:
        raise SpecError(Problem("E206", f"no block or layer is called '{name}'"))
    return layer.qualname if layer is not None and layer.registered else f"nn.{name}"


def annotation(param: schema.Param) -> str:
    """The Python type of a parameter; "" if the spec does not say."""
    kind = param.type
    if kind is None:
        default = param.default
        if isinstance(default, list):
            inner = {type(item).__name__ for item in cast("list[Any]", default)}
            kind = f"list[{inner.pop()}]" if len(inner) == 1 else "list"
        elif isinstance(default, str) and default.startswith("$"):
            return ""
        else:
            kind = "" if default is None else type(default).__name__
    return {**_ANNOTATIONS, "list": "tuple"}.get(kind) or list_annotation(kind)


def list_annotation(kind: str) -> str:
    """``list[int]`` as ``tuple[int, ...]``; classes in a list are their names."""
    if kind in schema.ONE_OR_LIST:
        return f"{schema.item_type(kind)} | {list_annotation(kind.partition(' | ')[2])}"
    if not kind.startswith("list["):
        return kind
    inner = schema.item_type(kind)
    inner = {"block": "str", "layer": "str"}.get(inner, inner)
    return f"tuple[{inner}, ...]" if inner in ("int", "float", "bool", "str") else "tuple"


def initializer_text(
    init: InitNode, target: str, values: Iterable[tuple[str, str]], extra: Sequence[str] = ()
) -> str:
    """``nn.init.normal_(target, std=0.02)``, its arguments being printed already."""
    texts = [target, *(f"{identifier(key)}={value}" for key, value in values)]
    if INITIALISERS[init.function][1]:
        texts += extra
    return f"nn.init.{init.function}({', '.join(texts)})"
