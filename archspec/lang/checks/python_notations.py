"""Python's statements, methods and attributes in forward steps: what to write in their place."""

from __future__ import annotations

import ast
import re
import warnings

from archspec.lang import yaml
from archspec.lang.registry import functions
from archspec.lang.schema import split_targets

_MAX_TEXT = 1_000
_IN_PLACE = (
    "nothing is assigned to a part: write {x: select_scatter(x, y, dim, index)}, or use where(…)"
)
_BLOCK_STATEMENTS = {
    "for": "write {for: x in layers, do: [steps]}",
    "while": "loops have a known number of rounds: {for: i in range(n), do: [steps]}",
    "if": "there is no conditional step: write {x: a if condition else b}",
    "elif": "there is no conditional step: write {x: a if condition else b}",
    "else": "there is no conditional step: write {x: a if condition else b}",
    "with": "leave it out: detach(x) keeps gradients away",
    "def": "what several steps share is a method of the block, under methods",
    "try": "nothing is caught: leave it out",
}
_STATEMENTS: dict[type[ast.stmt], str] = {
    ast.Assert: "leave it out: what sizes have to be is said by the inputs' contracts",
    ast.Delete: "leave it out: a value lives as long as steps need it",
    ast.Global: "leave it out",
    ast.Import: "leave it out: PyTorch's functions have plain names",
    ast.ImportFrom: "leave it out: PyTorch's functions have plain names",
    ast.Pass: "leave it out",
    ast.Raise: "leave it out: what sizes have to be is said by the inputs' contracts",
}
_ATTRIBUTES = {
    "T": "write transpose({x}, 0, 1)",
    "H": "write adjoint({x})",
    "data": "write detach({x})",
    "indices": "take it apart in a step of its own: {{values, indices: {x}}}",
    "values": "take it apart in a step of its own: {{values, indices: {x}}}",
    "grad": "gradients are for who trains the model",
    "mH": "write adjoint({x})",
    "mT": "write transpose({x}, -2, -1)",
    "requires_grad": "a freeze plan says what is trained",
}
_METHODS = {
    "append": 'write {{{x}: "{x} + [y]"}}',
    "backward": "gradients are for who trains the model",
    "cpu": "leave it out: the device is chosen when the model is built",
    "cuda": "leave it out: the device is chosen when the model is built",
    "dim": "write {x}.ndim",
    "extend": "write {{{x}: {x} + ys}}",
    "item": "leave it out: a tensor of one number is used like a number",
    "items": "a loop over a ModuleDict gives its modules: {{for: layer in {x}, do: […]}}",
    "keys": "a loop over a ModuleDict gives its modules: {{for: layer in {x}, do: […]}}",
    "new_tensor": "write tensor(…)",
    "ndimension": "write {x}.ndim",
    "requires_grad_": "a freeze plan says what is trained",
    "size": "write {x}.shape, {x}.shape[0] for its first size",
    "t": "write transpose({x}, 0, 1)",
    "type": "write to({x}, float32)",
    "unfold": "select windows: {x}[..., arange(n)[:, None] * step + arange(size)]",
    "values": "a loop over a ModuleDict gives its modules: {{for: layer in {x}, do: […]}}",
}


def meant_step(text: str) -> tuple[str, dict[str, str]]:
    """What to write for a step that is text, and the step that it stands for; {} if none.

    >>> meant_step("x += fc(x)")
    ('write {x: x + fc(x)}', {'x': 'x + fc(x)'})
    """
    step, hint = _statement(text)
    if step:
        first, value = next(iter(step.items()))
        hint = f"write {yaml.flow(step)}"
        if first == "_":
            hint = f"give what it returns a name: {yaml.flow({'x': value})}"
    return hint or "a step is {name: expression} or {return: expression}", step


def target_hint(text: str) -> str:
    """What to write for the key of a step that is no name; "" if that cannot be said."""
    word = re.match(r"\w*", text)
    if word and word[0] in _BLOCK_STATEMENTS and word[0] != text:
        return _BLOCK_STATEMENTS[word[0]]
    if found := re.fullmatch(r"([A-Za-z_]\w*)\s*(\*\*|//|[-+*/@|&^%])=?", text.strip()):
        return f"write {{{found[1]}: {found[1]} {found[2]} …}}"
    if re.fullmatch(r"[A-Za-z_][\w.]*\[.*\]", text.strip()):
        return _IN_PLACE
    step, _ = _statement(text)
    return f"write {yaml.flow(step)}" if step and "=" in text else ""


def attribute_hint(name: str, owner: str) -> str:
    """What to write for ``x.T``; "" if that cannot be said.

    Args:
        owner: the text of the value that the attribute is of.
    """
    known = _ATTRIBUTES.get(name, "")
    return known.format(x=owner)


def method_hint(name: str, owner: str) -> str:
    """What to write for ``x.mean()``; "" if that cannot be said.

    >>> method_hint("mean", "x"), method_hint("mul_", "x")
    ('write mean(x, …)', 'write mul(x, …)')
    """
    if name in _METHODS:
        return _METHODS[name].format(x=owner)
    if functions.find(name) is not None:
        return f"write {name}({owner}, …)"
    return functions.known_instead(name) or in_place_hint(name, f"{owner}, …")


def in_place_hint(name: str, arguments: str = "…") -> str:
    """What to write for a function that changes its first argument: ``masked_fill_``; or ""."""
    plain = name.rstrip("_")
    if name == plain or functions.find(plain) is None:
        return ""
    return f"write {plain}({arguments})"


def _statement(text: str) -> tuple[dict[str, str], str]:
    """The step that a statement stands for, or else what to do about it."""
    if len(text) > _MAX_TEXT:
        return {}, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)
            body = ast.parse(text.strip()).body
        return _step_of(body[0]) if len(body) == 1 else ({}, "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        word = re.match(r"\w*", text)
        return {}, _BLOCK_STATEMENTS.get(word[0], "") if word else ""


def _step_of(statement: ast.stmt) -> tuple[dict[str, str], str]:
    match statement:
        case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=value):
            name = ast.unparse(target).strip("()")
            return ({name: ast.unparse(value)} if _are_names(name) else {}), ""
        case ast.Assign(targets=[ast.Attribute(ast.Name("self"), name)], value=value):
            return {name: ast.unparse(value)}, ""
        case ast.Assign(targets=[ast.Subscript()]) | ast.AugAssign(target=ast.Subscript()):
            return {}, _IN_PLACE
        case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
            return {name: ast.unparse(ast.BinOp(ast.Name(name), op, value))}, ""
        case ast.Return(value=ast.expr() as value):
            return {"return": ast.unparse(value)}, ""
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="append"),
                args=[added],
                keywords=[],
            )
        ):
            return {name: f"{name} + [{ast.unparse(added)}]"}, ""
        case ast.Expr(value=ast.Call() as call):
            return {"_": ast.unparse(call)}, ""
        case other:
            return {}, _STATEMENTS.get(type(other), "")


def _are_names(text: str) -> bool:
    return all(name.isidentifier() for name in split_targets(text))
