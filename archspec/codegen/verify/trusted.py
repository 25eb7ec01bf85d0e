"""What trusted Python registered, as a source may import and call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archspec.codegen.verify.kinds import Kind
from archspec.lang.registry import functions, layers
from archspec.lang.registry.functions import Function
from archspec.lang.registry.layers import Layer

Known = tuple[tuple[str, str], ...]  # modules and names in them
Thing = Layer | Function | None  # None: somebody vouches for it, no register knows it


class TrustedName(Kind):
    """A registered class or function, or a class that one of them is defined in."""

    def __init__(self, qualname: str, things: Mapping[str, Thing]) -> None:
        self.qualname, self.things = qualname, things

    @property
    def is_layer(self) -> bool:
        """Whether the name itself may be called as a layer's class."""
        return isinstance(self._thing, Layer) or self._is_vouched_for

    @property
    def is_function(self) -> bool:
        """Whether a step may call the name itself."""
        return isinstance(self._thing, Function) or self._is_vouched_for

    @property
    def _thing(self) -> Thing:
        return self.things.get(self.qualname)

    @property
    def _is_vouched_for(self) -> bool:
        return self.qualname in self.things and self._thing is None

    def attribute(self, name: str) -> Kind | None:
        longer = f"{self.qualname}.{name}"
        known = any(f"{other}.".startswith(f"{longer}.") for other in self.things)
        return TrustedName(longer, self.things) if known else None

    def accepts(self, name: str) -> bool:
        """Whether it has an argument of that name."""
        match self._thing:
            case Layer() as layer:
                return layer.argument(name) is not None
            case Function() as function:
                return function.keywords_any or name in function.arguments
            case None:
                return True


@dataclass
class Trusted:
    """All of it, by module, and what of it the source has imported."""

    modules: dict[str, dict[str, Thing]]
    imported: dict[str, TrustedName] = field(default_factory=dict[str, TrustedName])

    @classmethod
    def of(cls, known: Known) -> Trusted:
        modules: dict[str, dict[str, Thing]] = {}
        for module, qualname in known:
            modules.setdefault(module, {})[qualname] = None
        for thing in (*layers.registered(), *functions.registered()):
            modules.setdefault(thing.module, {})[thing.qualname] = thing
        return cls(modules)

    def find(self, module: str, name: str) -> TrustedName | None:
        """What ``from module import name`` gives."""
        things = self.modules.get(module, {})
        if any(qualname.partition(".")[0] == name for qualname in things):
            return TrustedName(name, things)
        return None
