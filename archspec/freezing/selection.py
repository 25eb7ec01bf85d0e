"""Matches a plan's patterns against a model: what is frozen, and which pattern decides it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from torch import nn
from torch.nn.parameter import is_lazy

from archspec.errors import FreezeError, Problem, UsageError
from archspec.freezing.plans import ResolvedPlan
from archspec.lang import patterns
from archspec.lang.instances import ancestors
from archspec.lang.patterns import Entry, Pattern, PatternError, Tree


@dataclass(frozen=True, eq=False)
class SharedParameter:
    """A parameter with all of its names in a model."""

    tensor: nn.Parameter
    names: tuple[str, ...]


class Selection:
    """What a plan decides about a model's modules and tensors.

    Attributes:
        patterns: parsed, in their order.
        modules: path → module, parents first; a module that is used twice has two paths.
        parameters: each once.
        decided_by: path of a module or tensor → index of the last pattern that selects it.

    Raises:
        FreezeError: E701, E702, every invalid pattern, with its place.
        UsageError: E801, a parameter has no shape yet.
    """

    def __init__(self, model: nn.Module, resolved: ResolvedPlan) -> None:
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
        self.patterns = self._parse_patterns(resolved)
        last = self.tree.last_match(self.patterns)
        self.decided_by = {
            entry.path: match
            for entry, match in zip(self.tree.entries, last, strict=True)
            if match is not None
        }

    def _parse_patterns(self, resolved: ResolvedPlan) -> list[Pattern]:
        parsed: list[Pattern] = []
        problems: list[Problem] = []
        for text, place in zip(resolved.plan.patterns, resolved.places, strict=True):
            try:
                pattern = patterns.parse(text)
            except PatternError as error:
                problems.append(Problem("E702", f"'{text}': {error.message}", place))
                continue
            if not self.tree.select(pattern) and not resolved.is_of_left_out(pattern):
                near_misses = self.tree.near_misses(pattern)
                hint = (
                    f"did you mean {', '.join(repr(n) for n in near_misses)}?"
                    if near_misses
                    else ""
                )
                problems.append(
                    Problem("E701", f"the pattern '{text}' selects nothing", place, hint)
                )
            parsed.append(pattern)
        if problems:
            raise FreezeError(problems)
        return parsed

    def freezes(self, path: str) -> bool:
        """Whether the last pattern that selects a path freezes it."""
        index = self.decided_by.get(path)
        return index is not None and not self.patterns[index].negated

    def is_frozen(self, parameter: SharedParameter) -> bool:
        """Whether a parameter is frozen: one of its names is enough."""
        return any(map(self.freezes, parameter.names))

    def decider(self, parameter: SharedParameter) -> int | None:
        """Index of the last pattern that decides about a parameter."""
        frozen = [name for name in parameter.names if self.freezes(name)]
        names = frozen or parameter.names
        return max((self.decided_by[n] for n in names if n in self.decided_by), default=None)

    @cached_property
    def fully_frozen(self) -> list[nn.Module]:
        """The modules that are frozen with everything inside them, each once."""
        trained = (entry.path for entry in self.tree.entries if not self.freezes(entry.path))
        partly_trained = {ancestor for path in trained for ancestor in ancestors(path)}
        modules = [
            module
            for path, module in self.modules.items()
            if self.freezes(path) and path not in partly_trained
        ]
        return list(dict.fromkeys(modules))


def check_module(model: object) -> None:
    """Raise E801 for anything but a module."""
    if not isinstance(model, nn.Module):
        message = f"a module is needed, not {type(model).__name__}"
        raise UsageError(Problem("E801", message, hint="archspec.build(…) gives one"))


def shared_parameters(model: nn.Module) -> list[SharedParameter]:
    """Every parameter once, with all of its names."""
    return _shared(model.named_parameters(remove_duplicate=False))


def _shared(named: Iterable[tuple[str, nn.Parameter]]) -> list[SharedParameter]:
    names: dict[nn.Parameter, list[str]] = {}  # tensors compare by identity as keys
    for name, parameter in named:
        names.setdefault(parameter, []).append(name)
    return [SharedParameter(tensor, tuple(all_names)) for tensor, all_names in names.items()]
