"""Lock files: the paths, classes, arguments and tensor shapes of a model, and its totals.

Equal neighbours in a container are one line: ``encoder.layer.(0-11): BertLayer``.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from archspec.differences.alignment import Alignment
from archspec.differences.change_set import Side, SpecChange
from archspec.differences.changes import tensor_changes, tree_changes
from archspec.differences.comparing import on_meta, state_of
from archspec.differences.normal_form import content, normal
from archspec.differences.outline import Outline, Tensor, join, outline, subtree_numbers
from archspec.differences.report import Diff
from archspec.errors import Problem, SpecError
from archspec.lang import yaml
from archspec.lang.inherit import locate
from archspec.lang.instances import format_arguments
from archspec.lang.packaged import is_packaged
from archspec.lang.spec import Spec, as_spec
from archspec.report.display import Displayed
from archspec.report.folding import fold_neighbours, is_range, unfold_path
from archspec.report.text import printable_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

VERSION = 1
MAX_MODULES = 100_000
_ROOT = "(root)"
_NOT_A_LOCK = (
    ArithmeticError, AttributeError, KeyError, RecursionError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
_HEAD = "# What the spec builds; written by 'archspec lock'. Review its changes like code.\n"


@dataclass(frozen=True, eq=False)
class Lock(Displayed):
    """What a spec builds, as written in a lock file.

    Attributes:
        name: of the spec, or of the lock file.
        root: the modules with their arguments and tensors.
        forward: class name → a digest of its forward: inputs, steps, the parameters they use.
        totals: parameters (shared ones counted once), tensors of the ``state_dict``, modules.
    """

    name: str
    root: Outline
    forward: Mapping[str, str]
    totals: Mapping[str, int]

    def to_yaml(self) -> str:
        """The text of a lock file.

        Raises:
            SpecError: E105 if the model is too large, E207 for a name that reads as a range.
        """
        for module in self.root.walk():
            if is_range(module.name):
                message = f"'{module.path}' cannot be distinguished from a range in a lock file"
                raise SpecError(Problem("E207", message, module.place))
        text = _HEAD + yaml.dump(self.to_dict())
        yaml.parse(text, self.name)  # what cannot be read again is not written
        return text

    def to_dict(self) -> dict[str, Any]:
        """The lock as plain data, as its file has it."""
        modules: dict[str, str] = {}
        tensors: dict[str, Any] = {}
        state = self.root.state()
        shared = {name: tensor.shared for name, tensor in state.items() if tensor.shared}
        for path, module in _folded(self.root):
            modules[path or _ROOT] = _call(module)
            for name, tensor in module.tensors.items():
                plain = tensor.dtype == "float32"
                shape = list(tensor.shape)
                tensors[join(path, name)] = shape if plain else [*shape, tensor.dtype]
        return {
            "archspec-lock": VERSION,
            "totals": dict(self.totals),
            "modules": modules,
            "tensors": tensors,
            **({"shared": shared} if shared else {}),
            "forward": dict(self.forward),
        }

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        return Text(printable_lines(self.to_yaml().rstrip("\n")))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Lock:
        """The lock in a file.

        Raises:
            SpecError: E106 if it cannot be read or is not a lock file, E1xx if it is not YAML.
        """
        file = Path(path)
        root, problems = yaml.read(file)
        if problems:
            raise SpecError(problems)
        try:
            return _read(file.name, cast("dict[str, Any]", yaml.plain(root)))
        except _NOT_A_LOCK:
            hint = "write it again with 'archspec lock'"
            raise SpecError(Problem("E106", f"{file}: not a lock file", hint=hint)) from None

    def compare(self, now: Lock) -> Diff:
        """The changes since this lock was written; false if there are none."""
        aligned = Alignment(self.root, now.root)
        return Diff(
            old=self.name,
            new=now.name,
            levels=("tree", "tensors"),
            spec=tuple(_forward_changes(self, now)),
            tree=tuple(tree_changes(aligned)),
            tensors=tuple(tensor_changes(aligned)),
        )


def lock(source: str | os.PathLike[str] | Spec, **params: Any) -> Lock:
    """Record what a spec builds: paths, classes, arguments, tensor shapes, totals.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        **params: values for the spec's parameters.

    Returns:
        The lock; ``to_yaml`` is its file, ``compare`` its differences from another lock.

    Raises:
        SpecError, ShapeError, BuildError: as ``build``.

    Example:
        >>> lock("resnet18").totals["parameters"]
        11689512
    """
    spec = as_spec(source, params)
    model = on_meta(spec)
    root = outline(spec, state_of(model))
    modules = list(root.walk())
    totals = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tensors": sum(len(module.tensors) for module in modules),
        "modules": len(modules),
    }
    return Lock(spec.name, root, _digests(spec, {module.type for module in modules}), totals)


def beside(source: str | os.PathLike[str]) -> Path:
    """Where the lock file of a spec stands: beside it, or here for a packaged one."""
    path = locate(source)
    return Path(f"{path.stem}.lock") if is_packaged(path) else path.with_suffix(".lock")


# ---------------------------------------------------------------------------------------- writing


def _call(module: Outline) -> str:
    """``Linear(in_features=768, out_features=2)``."""
    arguments = format_arguments(module.arguments)
    return f"{module.type}({arguments})" if arguments else module.type


def _folded(root: Outline) -> Iterator[tuple[str, Outline]]:
    """Every module with its path, equal numbered neighbours as one."""
    numbers = subtree_numbers()
    stack = [("", root)]
    while stack:
        path, module = stack.pop()
        yield path, module
        groups = fold_neighbours(module.children, lambda child: child.name, numbers.number)
        stack += reversed([(join(path, name), group[0]) for name, group in groups])


def _digests(spec: Spec, types: set[str]) -> dict[str, str]:
    """Class name → a digest of its inputs, its steps, and the parameters that they use."""
    digests: dict[str, str] = {}
    for name, block in cast("dict[str, Any]", content(spec)["blocks"]).items():
        if name in types and "forward" in block:
            parts = [
                normal(block[part], ("blocks", name, part))
                for part in ("inputs", "forward", "methods")
                if part in block
            ]
            words = set(re.findall(r"\w+", repr(parts)))
            used = sorted((key, repr(value)) for key, value in spec.values.items() if key in words)
            digests[name] = hashlib.sha256(repr((parts, used)).encode()).hexdigest()[:12]
    return digests


def _forward_changes(old: Lock, new: Lock) -> Iterator[SpecChange]:
    for name in {**old.forward, **new.forward}:
        before, after = old.forward.get(name), new.forward.get(name)
        if before != after:
            path = ("blocks", name, "forward")
            kind = "added" if before is None else "removed" if after is None else "changed"
            yield SpecChange(kind, _side(path, before, old), _side(path, after, new))


def _side(path: yaml.Path, digest: str | None, lock: Lock) -> Side | None:
    return None if digest is None else Side(path, digest, None, lock.name)


# ---------------------------------------------------------------------------------------- reading


def _read(name: str, data: dict[str, Any]) -> Lock:
    if data["archspec-lock"] != VERSION:
        raise ValueError("another version")
    modules = {
        path: str(call)
        for written, call in data["modules"].items()
        for path in unfold_path("" if written == _ROOT else written, MAX_MODULES)
    }
    tensors: dict[str, dict[str, Tensor]] = {}
    shared = {str(name): str(first) for name, first in data.get("shared", {}).items()}
    for written, shape_and_dtype in data["tensors"].items():
        shape = [size for size in shape_and_dtype if not isinstance(size, str)]
        (dtype,) = shape_and_dtype[len(shape) :] or ["float32"]
        for path in unfold_path(written, MAX_MODULES):
            tensor = Tensor(tuple(map(int, shape)), dtype, shared.get(path, ""))
            owner = _owner(path, modules)
            tensors.setdefault(owner, {})[path[len(owner) :].removeprefix(".")] = tensor
    children: dict[str, list[str]] = {}
    for path in modules:
        if path:
            children.setdefault(path.rpartition(".")[0], []).append(path)

    def build_outline(path: str) -> Outline:
        kind, arguments = _parsed(modules[path])
        below = tuple(build_outline(child) for child in children.get(path, ()))
        own = tensors.get(path, {})
        return Outline(path, kind, arguments, below, own, holds=bool(own))

    forward = {str(block): str(digest) for block, digest in data["forward"].items()}
    totals = {str(total): int(count) for total, count in data["totals"].items()}
    return Lock(name, build_outline(""), forward, totals)


def _owner(path: str, modules: Mapping[str, str]) -> str:
    while path:
        path = path.rpartition(".")[0]
        if path in modules:
            return path
    return ""


def _parsed(call: str) -> tuple[str, dict[str, str]]:
    """The class and the arguments of ``Linear(in_features=768, out_features=2)``."""
    if "(" not in call:
        return call, {}
    tree = ast.parse(call, mode="eval").body
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError("not a module")
    return tree.func.id, {
        str(keyword.arg): ast.get_source_segment(call, keyword.value) or ""
        for keyword in tree.keywords
    }
