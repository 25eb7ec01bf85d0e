"""The tree of a model's modules as data, by which two versions of it are aligned.

It comes from a spec, without torch; from a spec and its tensors; or from a lock file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from archspec.differences.normal_form import place
from archspec.errors import Place
from archspec.lang import yaml
from archspec.lang.instances import Instance, argument_texts, walk
from archspec.lang.spec import Spec
from archspec.report.subtrees import SubtreeNumbers


@dataclass(frozen=True, slots=True)
class Tensor:
    """A parameter or a persistent buffer, as a ``state_dict`` has it.

    Attributes:
        shared: the first name of a tensor that has several; "" for that name itself.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    shared: str = field(default="", compare=False)

    @property
    def elements(self) -> int:
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A module.

    Attributes:
        path: dotted, "" for the root.
        type: the name of its class.
        arguments: what it is constructed with, as Python writes the values.
        tensors: its own, by name; those of parts that the spec does not name are its own, too.
        renamed_from: its name before, in the same parent; "" if it was not renamed.
        place: where it is declared; None in a lock file.
        holds: whether it has tensors of its own, even where ``tensors`` is not known.
    """

    path: str
    type: str
    arguments: Mapping[str, str]
    children: tuple[Outline, ...] = ()
    tensors: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    renamed_from: str = ""
    place: Place | None = None
    holds: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def walk(self) -> Iterator[Outline]:
        """The module and all below it, parents first."""
        stack: list[Outline] = [self]
        while stack:
            module = stack.pop()
            yield module
            stack.extend(reversed(module.children))

    def state(self) -> dict[str, Tensor]:
        """Every tensor by its path."""
        return {
            join(module.path, name): tensor
            for module in self.walk()
            for name, tensor in module.tensors.items()
        }


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def outline(spec: Spec, state: Mapping[str, Tensor] | None = None) -> Outline:
    """The modules of ``spec``.

    Args:
        state: the tensors of the built model by path, as ``state_dict`` names them.
    """
    return _Maker(spec, state or {}).made("", spec.root)


class _Maker:
    def __init__(self, spec: Spec, state: Mapping[str, Tensor]) -> None:
        self.spec = spec
        self.tensors: dict[str, dict[str, Tensor]] = {}
        paths = {path for path, _ in walk(spec.root)} if state else set[str]()
        for name, tensor in state.items():
            owner = name.rpartition(".")[0]
            while owner not in paths:
                owner = owner.rpartition(".")[0]
            own = name[len(owner) + 1 :] if owner else name
            self.tensors.setdefault(owner, {})[own] = tensor
        self.arguments: dict[int, dict[str, str]] = {}
        self.declared: dict[yaml.Path, tuple[str, Place | None]] = {}

    def made(self, path: str, instance: Instance) -> Outline:
        if id(instance) not in self.arguments:  # equal modules share one instance
            self.arguments[id(instance)] = argument_texts(instance)
        if instance.path not in self.declared:
            self.declared[instance.path] = self._declaration(instance.path)
        renamed_from, declared_at = self.declared[instance.path]
        children = [self.made(join(path, name), child) for name, child in instance.children]
        return Outline(
            path=path,
            type=instance.type,
            arguments=self.arguments[id(instance)],
            children=tuple(children),
            tensors=self.tensors.get(path, {}),
            renamed_from=renamed_from,
            place=declared_at,
            holds=bool(instance.tensors),
        )

    def _declaration(self, path: yaml.Path) -> tuple[str, Place | None]:
        node = yaml.find(self.spec.document.root, (*path, "renamed_from"))
        old_name = str(node.value) if isinstance(node, yaml.Scalar) else ""
        return old_name, place(self.spec, path)


def subtree_numbers() -> SubtreeNumbers[Outline]:
    """Numbers for modules: equal ones, with all below them, have equal numbers."""
    return SubtreeNumbers(
        lambda module: (module.type, *map(_items, (module.arguments, module.tensors))),
        lambda module: ((child.name, child) for child in module.children),
    )


def _items(mapping: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple(mapping.items())
