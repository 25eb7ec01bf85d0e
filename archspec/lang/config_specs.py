"""Which packaged spec a Hugging Face ``config.json`` is of: by type, class and required values."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from archspec.lang import inherit, yaml
from archspec.lang.packaged import packaged_specs


@dataclass(frozen=True, slots=True)
class ConfigContract:
    """What a packaged spec says of the files that it reads.

    Attributes:
        model_types: of the files.
        classes: that they name.
        require: key → the values that it may have.
        defaults: key → what it means to leave it out.
        extends: the spec's parent, which is no part of what two contracts are compared by.
    """

    model_types: list[Any]
    classes: frozenset[str]
    require: Mapping[str, list[Any]]
    defaults: Mapping[str, Any]
    extends: str = field(compare=False)

    def takes(self, config: Mapping[str, Any], key: str) -> bool:
        """Whether a file's value of a key is one that the spec builds."""
        value = value_of(config, key)
        value = self.defaults.get(key) if value is None else value
        return value is None or key not in self.require or value in self.require[key]


def packaged_of(model_type: object) -> dict[str, ConfigContract]:
    """The packaged specs of a ``model_type``, by name.

    A spec that only has other sizes than its parent is not among them: a file says its own.
    """
    return {
        name: contract
        for name, contract in _contracts().items()
        if model_type in contract.model_types
        and contract != _contracts().get(contract.extends.removesuffix(".yaml"))
    }


@functools.cache
def _contracts() -> dict[str, ConfigContract]:
    """What the packaged specs that read files say of them; their texts are read once."""
    found: dict[str, ConfigContract] = {}
    for name in packaged_specs():
        root = inherit.read(name)[0].root
        config: dict[str, Any] = _plain(root, "config") or {}
        if "model_type" not in config:
            continue
        classes = listed(config.get("architectures", _plain(root, "model")))
        require: dict[str, Any] = config.get("require", {})
        found[name] = ConfigContract(
            model_types=listed(config["model_type"]),
            classes=frozenset(map(str, classes)),
            require={key: listed(values) for key, values in require.items()},
            defaults=config.get("defaults", {}),
            extends=str(_plain(root, "extends")),
        )
    return found


def of_class(config: Mapping[str, Any]) -> dict[str, ConfigContract]:
    """The packaged specs that build a file's class.

    A file that names no class is of its type's, if the packaged specs of that build one alone.

    Args:
        config: the content of the file.
    """
    specs, classes = packaged_of(config.get("model_type")), classes_of(config)
    if not classes and len({one.classes for one in specs.values()}) == 1:
        return specs
    return {name: one for name, one in specs.items() if not one.classes.isdisjoint(classes)}


def fitting_specs(config: Mapping[str, Any]) -> tuple[list[str], str]:
    """The packaged specs that build a file's class with its values.

    Where several build the class, what they all require, and differ in, decides, as the
    ``layer_type`` of two ResNets; beside that, the spec that is left says what it does not build.

    Returns:
        The names, and, if no value of a key is built by any of them, that key.
    """
    specs = of_class(config)
    requires = [one.require for one in specs.values()]
    for key in requires[0] if requires else ():
        if len(specs) == 1:
            break
        if all(key in one for one in requires) and any(
            o[key] != requires[0][key] for o in requires
        ):
            specs = {name: one for name, one in specs.items() if one.takes(config, key)}
            if not specs:
                return [], key
    return list(specs), ""


def classes_of(config: Mapping[str, Any]) -> list[Any]:
    """The classes that a file names."""
    classes = config.get("architectures")
    return cast("list[Any]", classes) if isinstance(classes, list) else []


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """What a file has at a dotted key; None if it is left out."""
    value: Any = config
    for step in key.split("."):
        value = cast("dict[str, Any]", value).get(step) if isinstance(value, dict) else None
    return value


def listed(value: Any) -> list[Any]:
    """A list of values, also of one alone."""
    return cast("list[Any]", value) if isinstance(value, list) else [value]


def _plain(root: yaml.Node, *path: str) -> Any:
    node = yaml.find(root, path)
    return None if node is None else yaml.plain(node)
