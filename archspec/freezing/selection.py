"""A plan's patterns held against a model: what is frozen, and which pattern decides it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from torch import nn
from torch.nn.parameter import is_lazy

from archspec.errors import FreezeError, Problem, UsageError
from archspec.freezing.plans import ChosenPlan
from archspec.lang import patterns
from archspec.lang.instances import ancestors
from archspec.lang.patterns import Entry, Pattern, PatternError, Tree


@dataclass(frozen=True, eq=False)
class Shared:
    """A parameter with all names under which a model holds it."""

    tensor: nn.Parameter
    names: tuple[str, ...]


class Selection:
    """What a plan says of a model's modules and tensors.

    Attributes:
        patterns: parsed, in their order.
        modules: path → module, parents first; a module that is held twice has two paths.
        parameters: each once.
        decided_by: path of a module or tensor → index of the last pattern that selects it.

    Raises:
        FreezeError: E701, E702, every pattern that does not work, with its place.
        UsageError: E801, a parameter has no shape yet.
    """

    def __init__(self, model: nn.Module, chosen: ChosenPlan) -> None:
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.parameters = shared_parameters(model)
        lazy = [one.names[0] for one in self.parameters if is_lazy(one.tensor)]
        if lazy:
            message = f"'{lazy[0]}' has no shape yet"
            raise UsageError(Problem("E801", message, hint="run the model forward once"))
        entries = [Entry(path, type(module).__name__) for path, module in self.modules.items()]
        names = [name for one in self.parameters for name in one.names]
        buffers = dict(model.named_buffers(remove_duplicate=False))
        self.tree = Tree([*entries, *(Entry(path, None) for path in (*names, *buffers))])
        self.patterns = self._parsed(chosen)
        last = self.tree.last_match(self.patterns)
        self.decided_by = {
            entry.path: match
            for entry, match in zip(self.tree.entries, last, strict=True)
            if match is not None
        }

    def _parsed(self, chosen: ChosenPlan) -> list[Pattern]:
        found: list[Pattern] = []
        problems: list[Problem] = []
        for text, place in zip(chosen.plan.patterns, chosen.places, strict=True):
            try:
                pattern = patterns.parse(text)
            except PatternError as error:
                problems.append(Problem("E702", f"'{text}': {error.message}", place))
                continue
            if not self.tree.select(pattern):
                near = self.tree.near_misses(pattern)
                hint = f"did you mean {', '.join(repr(n) for n in near)}?" if near else ""
                problems.append(
                    Problem("E701", f"the pattern '{text}' selects nothing", place, hint)
                )
            found.append(pattern)
        if problems:
            raise FreezeError(problems)
        return found

    def freezes(self, path: str) -> bool:
        """Whether the last pattern that selects a path freezes it."""
        index = self.decided_by.get(path)
        return index is not None and not self.patterns[index].negated

    def is_frozen(self, parameter: Shared) -> bool:
        """One tensor cannot be half frozen: one of its names is enough."""
        return any(map(self.freezes, parameter.names))

    def decider(self, parameter: Shared) -> int | None:
        """The index of the pattern that decides about a parameter; of several the last one."""
        frozen = [name for name in parameter.names if self.freezes(name)]
        names = frozen or parameter.names
        return max((self.decided_by[n] for n in names if n in self.decided_by), default=None)

    @cached_property
    def whole(self) -> list[nn.Module]:
        """The modules that are frozen with everything below them, each once."""
        thawed = (entry.path for entry in self.tree.entries if not self.freezes(entry.path))
        touched = {ancestor for path in thawed for ancestor in ancestors(path)}
        found = [
            module
            for path, module in self.modules.items()
            if self.freezes(path) and path not in touched
        ]
        return list(dict.fromkeys(found))


def check_module(model: object) -> None:
    """Raise E801 for anything but a module: a user's mistake in a public call."""
    if not isinstance(model, nn.Module):
        message = f"a module is needed, not {type(model).__name__}"
        raise UsageError(Problem("E801", message, hint="archspec.build(…) gives one"))


def shared_parameters(model: nn.Module) -> list[Shared]:
    """Every parameter once, with all of its names."""
    return _shared(model.named_parameters(remove_duplicate=False))


def _shared(named: Iterable[tuple[str, nn.Parameter]]) -> list[Shared]:
    names: dict[nn.Parameter, list[str]] = {}  # tensors are equal to themselves alone
    for name, parameter in named:
        names.setdefault(parameter, []).append(name)
    return [Shared(tensor, tuple(given)) for tensor, given in names.items()]
