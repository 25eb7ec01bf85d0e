"""A ``config.json`` written from the parameters of a spec, by the contract that reads one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.lang.config import Source, sources_of
from archspec.lang.schema import Config
from archspec.lang.spec import Spec


def config_of(spec: Spec, labels: Sequence[str] = ()) -> dict[str, Any]:
    """What a ``config.json`` says of a model with the values of a spec.

    Args:
        labels: the names of the classes, where their number is read from ``id2label``.

    Raises:
        UsageError: E801, the spec says no ``model_type``, or a parameter is the length of a key
            that is made of other things than labels.
    """
    config = spec.architecture.config or Config()
    if not config.model_type:
        hint = "config: {model_type: …} in the spec says how such a file is read and written"
        raise UsageError(Problem("E801", f"{spec.name} reads no config.json", hint=hint))
    written: dict[str, Any] = {
        "architectures": config.architectures or [spec.architecture.model],
        "model_type": config.model_type[0],
    }
    for key, wanted in config.require.items():
        _put(written, key, wanted[0] if isinstance(wanted, list) else wanted)
    for name, param in spec.params.items():
        source = sources_of(config, name)[0]
        if source.is_labels:
            _put_labels(written, source, labels or [f"LABEL_{i}" for i in range(param.value)])
        elif source.is_length:
            message = f"'{name}' is the length of '{source.key}', which cannot be written back"
            raise UsageError(Problem("E801", message))
        else:
            is_null = source.key in config.if_null and config.if_null[source.key] == param.value
            _put(written, source.key, None if is_null else param.value)
    return written


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set what a dotted key means."""
    *above, last = key.split(".")
    for step in above:
        values = values.setdefault(step, {})
    values[last] = value


def _put_labels(values: dict[str, Any], source: Source, labels: Sequence[str]) -> None:
    names_key, ids_key, *_ = source.keys
    _put(values, names_key, {str(i): label for i, label in enumerate(labels)})
    _put(values, ids_key, {label: i for i, label in enumerate(labels)})
