"""One block as a class: its signature and its ``__init__``."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, cast

from archspec.codegen.names import Names, forward_names
from archspec.codegen.printing import Printer, constant, tuple_text
from archspec.codegen.writer import Writer
from archspec.errors import Problem, SpecError
from archspec.lang.checks.checker import iterate_items
from archspec.lang.expr.expressions import (
    Expression,
    ExpressionError,
    evaluate,
    evaluate_part,
    parse,
    template,
)
from archspec.lang.params import literal
from archspec.lang.registry import layers
from archspec.lang.registry.initializers import INITIALISERS, parts
from archspec.lang.schema import Initialiser, Module, Param, Tensor
from archspec.lang.yaml import Path

BODY = 8  # columns before the statements of a method
_ANNOTATIONS = {"block": "type[nn.Module]", "layer": "type[nn.Module]"}


class Constructor:
    """Writes ``class X(nn.Module)`` and its ``__init__`` for one block."""

    def __init__(self, names: Names, name: str, writer: Writer) -> None:
        self.names, self.name, self.writer = names, name, writer
        self.block = names.block(name)
        self.path: Path = ("blocks", name)
        self.printer = Printer(self._name)
        self.configured = name in names.configured

    def _name(self, name: str) -> str:
        if name in self.names.values:
            return f"config.{name}"
        if name in self.names.classes:
            return constant(self.names.classes[name])
        return name

    def write(self) -> None:
        block, add = self.block, self.writer.add
        add(f"class {self.name}(nn.Module):", path=self.path)
        computed = {
            name: param
            for name, param in block.params.items()
            if not param.required and isinstance(literal(param.default), Expression)
        }
        if arguments := self._signature(computed):
            add(f"def __init__(self, {', '.join(arguments)}):", 4, self.path)
        else:
            add("def __init__(self):", 4, self.path)
        add("super().__init__()", BODY, self.path)
        for name, param in computed.items():
            path = (*self.path, "params", name)
            add(f"if {name} is None:", BODY, path)
            add(f"{name} = {self.value(param.default)}", BODY + 4, path)
        self._store_for_forward()
        for name, module in block.modules.items():
            self._child(name, module)
        self._tensors()

    def _signature(self, computed: dict[str, Param]) -> list[str]:
        required: list[str] = []
        defaults: list[str] = []
        if self.configured:
            is_root = self.name == self.names.root
            required.append("config: Config = Config()" if is_root else "config: Config")
        for name, param in self.block.params.items():
            kind = annotation(param)
            if param.required:
                required.append(f"{name}: {kind}" if kind else name)
            elif name in computed:
                defaults.append(f"{name}: {kind} | None = None" if kind else f"{name}=None")
            else:
                text = (
                    self._class(param.default)
                    if kind == "type[nn.Module]"
                    else self.value(param.default)
                )
                nullable = " | None" if param.default is None and kind else ""
                defaults.append(f"{name}: {kind}{nullable} = {text}" if kind else f"{name}={text}")
        return required + defaults

    def _store_for_forward(self) -> None:
        """What forward needs of the parameters, it reads from the module, as the field does."""
        used = forward_names(self.block)
        for name in self.names.spec.architecture.params:
            if name in used and name in self.names.values:
                self.writer.add(f"self.{name} = config.{name}", BODY, ("params", name))
        for name in self.block.params:
            if name in used:
                self.writer.add(f"self.{name} = {name}", BODY, (*self.path, "params", name))

    # ------------------------------------------------------------------------------- children

    def _child(self, name: str, module: Module) -> None:
        path = (*self.path, "modules", name)
        add = self.writer.add
        is_container = module.type in layers.CONTAINERS
        condition = self.value(module.when)
        if condition == "True":
            add(f"self.{name} = {self._call(module)}", BODY, path)
        elif condition == "False":
            if is_container:
                add(f"self.{name} = nn.{module.type}()", BODY, path)
        else:
            add(f"if {condition}:", BODY, (*path, "when"))
            add(f"self.{name} = {self._call(module)}", BODY + 4, path)
            if is_container:
                add("else:", BODY)
                add(f"self.{name} = nn.{module.type}()", BODY + 4, path)

    def _call(self, module: Module) -> str:
        """The expression that constructs a module, whatever its ``when`` says."""
        if module.type in layers.CONTAINERS:
            return self._container(module)
        parsed = literal(module.type)
        if isinstance(parsed, Expression):
            return self._choice(parsed, parsed.tree, module)
        return self._call_of(str(parsed), module)

    def _call_of(self, kind: str, module: Module) -> str:
        """A call of the block or layer of that name."""
        text = class_text(kind, self.names)
        if kind in self.names.spec.architecture.blocks:
            return f"{text}({', '.join(self._block_arguments(kind, module))})"
        return f"{text}({', '.join(self._layer_arguments(layers.find(kind), module))})"

    def _choice(self, expression: Expression, node: ast.expr, module: Module) -> str:
        """A ``type:`` that is an expression: a call of each class that it can come to."""
        match node:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                yes = self._choice(expression, body, module)
                no = self._choice(expression, orelse, module)
                return f"{yes} if {self.printer.text(test, 2)} else {no}"
            case ast.Name(id=name) if name in self.block.params:
                # A parameter of the block holds the class: a block takes the config, a layer not.
                takes_config = self.configured and self.block.params[name].type == "block"
                arguments = ["config"] if takes_config else []
                arguments += [f"{k}={self.value(v)}" for k, v in module.arguments.items()]
                return f"{name}({', '.join(arguments)})"
            case _:
                return self._call_of(self._known_class(expression, node), module)

    def _known_class(self, expression: Expression, node: ast.expr) -> str:
        """The class that a node comes to, known when the code is made."""
        try:
            return str(evaluate_part(expression, node, self.names.spec.values))
        except ExpressionError:
            message = f"'{expression.text}' cannot choose a class"
            hint = "a type is a name, a block or layer parameter, or 'A' if … else 'B'"
            place = self.names.spec.document.place(self.path)
            raise SpecError(Problem("E302", message, place, hint)) from None

    def _block_arguments(self, name: str, module: Module) -> list[str]:
        params = self.names.block(name).params
        arguments = ["config"] if name in self.names.configured else []
        for key, value in module.arguments.items():
            is_class = key in params and params[key].type in ("block", "layer")
            arguments.append(f"{key}={self._class(value) if is_class else self.value(value)}")
        return arguments

    def _layer_arguments(self, layer: layers.Layer | None, module: Module) -> list[str]:
        """As the field writes them: the first two required ones by position, the rest by name."""
        by_position: list[str] = []
        for argument in layer.arguments[:2] if layer is not None else ():
            if not argument.required or argument.name not in module.arguments:
                break
            by_position.append(argument.name)
        arguments = [self.value(module.arguments[name]) for name in by_position]
        arguments += [
            f"{k}={self.value(v)}" for k, v in module.arguments.items() if k not in by_position
        ]
        return arguments

    def _container(self, module: Module) -> str:
        items = list(iterate_items(module))
        if not items:
            return f"nn.{module.type}()"
        if isinstance(module.items, dict) or items[0][1].name is not None:
            pairs = [self._named_item(key, item) for key, item in items]
            inner = f"{{{', '.join(pairs)}}}"
            inner = inner if module.type == "ModuleDict" else f"OrderedDict({inner})"
            return f"nn.{module.type}({inner})"
        texts = [self._listed_item(item) for _, item in items]
        if module.type == "Sequential":
            return f"nn.Sequential({', '.join(texts)})"
        inner = (
            texts[0][1:]
            if len(texts) == 1 and texts[0].startswith("*[")
            else f"[{', '.join(texts)}]"
        )
        return f"nn.{module.type}({inner})"

    def _listed_item(self, item: Module) -> str:
        call, condition = self._item(item)
        if item.repeat is not None:
            return f"*[{call}{self._loop(item)}{f' if {condition}' if condition else ''}]"
        return f"*([{call}] if {condition} else [])" if condition else call

    def _named_item(self, key: str | int, item: Module) -> str:
        call, condition = self._item(item)
        name = self._template(item.name) if item.name is not None else constant(str(key))
        if item.repeat is not None:
            return (
                f"**{{{name}: {call}{self._loop(item)}{f' if {condition}' if condition else ''}}}"
            )
        return (
            f"**({{{name}: {call}}} if {condition} else {{}})" if condition else f"{name}: {call}"
        )

    def _item(self, item: Module) -> tuple[str, str]:
        """The call that makes an item, and the condition under which it is there at all."""
        call, condition = self._call(item), self.value(item.when)
        if condition == "True":
            return call, ""
        if item.type in layers.CONTAINERS:  # emptied, not left out
            return f"({call} if {condition} else nn.{item.type}())", ""
        return call, condition

    def _loop(self, item: Module) -> str:
        return f" for {item.index or '_'} in range({self.value(item.repeat)})"

    def _template(self, text: str) -> str:
        pieces = list(template(text))
        if all(isinstance(piece, str) for piece in pieces):
            return constant("".join(map(str, pieces)))
        inner = "".join(
            piece.replace("{", "{{").replace("}", "}}")
            if isinstance(piece, str)
            else f"{{{self.printer.text(piece.tree)}}}"
            for piece in pieces
        )
        return f'f"{inner}"'

    # --------------------------------------------------------------------------- raw tensors

    def _tensors(self) -> None:
        block, add = self.block, self.writer.add
        for name, tensor in block.parameters.items():
            path = (*self.path, "parameters", name)
            add(f"self.{name} = nn.Parameter({self._empty(tensor)})", BODY, path)
        for name, buffer in block.buffers.items():
            persistent = "" if buffer.persistent else ", persistent=False"
            path = (*self.path, "buffers", name)
            add(
                f"self.register_buffer({constant(name)}, {self._empty(buffer)}{persistent})",
                BODY,
                path,
            )
        if block.parameters or block.buffers:
            add("self.reset_parameters()", BODY)

    def write_reset(self) -> None:
        """``reset_parameters``: the raw tensors' first values, as every layer of PyTorch has it."""
        block, add = self.block, self.writer.add
        tensors = {**block.parameters, **block.buffers}
        if not tensors:
            return
        add()
        add("def reset_parameters(self):", 4)
        for name, tensor in tensors.items():
            part = "parameters" if name in block.parameters else "buffers"
            text = initialiser_text(tensor.init, f"self.{name}", self.initialiser_value)
            add(text, BODY, (*self.path, part, name))

    def initialiser_value(self, value: Any) -> str:
        parsed = literal(value)
        if not isinstance(parsed, Expression):
            return constant(parsed)
        # What is known when the code is made is written down: self has no config.
        return constant(evaluate(parsed, self.names.spec.values))

    def _empty(self, tensor: Tensor) -> str:
        sizes = [self.value(size) for size in tensor.shape]
        dtype = f", dtype=torch.{tensor.dtype}" if tensor.dtype else ""
        return f"torch.empty({', '.join(sizes) or '()'}{dtype})"

    # ---------------------------------------------------------------------------- expressions

    def value(self, value: Any) -> str:
        """An argument as Python."""
        if isinstance(value, dict):
            return self._call(Module.model_validate(value))
        if isinstance(value, list):
            return (
                tuple_text([self.value(item) for item in cast("list[Any]", value)])
                if value
                else "()"
            )
        parsed = literal(value)
        if isinstance(parsed, Expression):
            return self.printer.text(_without_lists(parsed).tree)
        return constant(parsed)

    def _class(self, value: Any) -> str:
        """An argument that is a class, as Python."""
        parsed = literal(value)
        if not isinstance(parsed, Expression):
            return class_text(str(parsed), self.names)
        return self._class_node(parsed, parsed.tree)

    def _class_node(self, expression: Expression, node: ast.expr) -> str:
        match node:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                yes, no = self._class_node(expression, body), self._class_node(expression, orelse)
                return f"{yes} if {self.printer.text(test, 2)} else {no}"
            case ast.Name(id=name) if name in self.block.params:
                return name
            case _:
                return class_text(self._known_class(expression, node), self.names)


def _without_lists(expression: Expression) -> Expression:
    """Values are tuples: a list in an argument's expression is one, too."""
    if "[" not in expression.text:
        return expression

    class Lists(ast.NodeTransformer):
        def visit_List(self, node: ast.List) -> ast.AST:
            self.generic_visit(node)
            return ast.copy_location(ast.Tuple(node.elts, ast.Load()), node)

    tree = Lists().visit(parse.__wrapped__(expression.text).tree)
    return Expression(expression.text, tree)


def class_text(name: str, names: Names) -> str:
    """A class as the generated module spells it; never a text that names none.

    Raises:
        SpecError: E206, for the branch of a choice that names neither a block nor a layer.
    """
    if name in names.spec.architecture.blocks:
        return name
    layer = layers.find(name)
    if layer is None and name not in layers.CONTAINERS:
        raise SpecError(Problem("E206", f"no block or layer is called '{name}'"))
    return layer.qualname if layer is not None and layer.registered else f"nn.{name}"


def annotation(param: Param) -> str:
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
    if kind.startswith("list["):
        return f"tuple[{kind[5:-1]}, ...]"
    return {"list": "tuple", **_ANNOTATIONS}.get(kind, kind)


def initialiser_text(
    initialiser: Initialiser, target: str, value: Any, extra: Sequence[str] = ()
) -> str:
    """``nn.init.normal_(target, std=0.02)``."""
    name, arguments = parts(initialiser)
    texts = [target, *(f"{k}={value(v)}" for k, v in arguments.items())]
    if INITIALISERS[name][1]:
        texts += extra
    return f"nn.init.{name}({', '.join(texts)})"
