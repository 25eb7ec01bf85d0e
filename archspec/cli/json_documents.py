"""What ``--json`` prints, as plain data that any JSON reader takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from archspec.errors import ArchspecError, place_fields
from archspec.lang.instances import Instance, walk
from archspec.lang.spec import Spec

if TYPE_CHECKING:
    from torch import nn


def of_error(error: ArchspecError) -> dict[str, Any]:
    """The class of the error, and every problem."""
    problems = [problem.to_dict() for problem in error.problems]
    return {"error": {"kind": type(error).__name__, "problems": problems}}


def of_spec(spec: Spec) -> dict[str, Any]:
    """A resolved spec; ``modules`` is flat, in the order of ``named_modules``."""
    architecture = spec.architecture
    facts = {
        "name": spec.name,
        "model": architecture.model,
        "description": architecture.description,
        "paper": architecture.paper,
        "files": [str(file) for file in spec.document.files],
        "params": _params(spec),
        "let": spec.let,
        "ignored": list(spec.ignored),
        "dims": architecture.dims,
        "blocks": _blocks(spec),
        "modules": [
            {"path": path, "type": found.type, "arguments": found.arguments}
            for path, found in walk(spec.root)
        ],
        "freeze": {name: plan.model_dump() for name, plan in architecture.freeze.items()},
        "adapters": {name: one.model_dump() for name, one in architecture.adapters.items()},
        "adapter": spec.adapter.name if spec.adapter else None,
        "checkpoints": {name: c.model_dump() for name, c in architecture.checkpoints.items()},
        "config": architecture.config.model_dump() if architecture.config else None,
        "task": architecture.task.model_dump() if architecture.task else None,
    }
    return plain(facts)


def of_model(model: nn.Module) -> dict[str, Any]:
    """Exact counts of a built module: shared tensors are counted once."""
    from archspec.building.devices import tensor_bytes

    parameters, buffers = list(model.parameters()), list(model.buffers())
    tensors = [*parameters, *buffers]
    dtypes = Counter(t.dtype for t in parameters or tensors if t.is_floating_point())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "buffer_elements": sum(b.numel() for b in buffers),
        "bytes": tensor_bytes(model, None),
        "device": str(tensors[0].device) if tensors else None,
        "dtype": ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes) or None,
    }


def plain(value: object) -> Any:
    """A value as JSON has it; numbers that are not finite become text."""
    match value:
        case float() if value - value != 0:
            return str(value)
        case Instance():
            return {"type": value.type, "arguments": plain(value.arguments)}
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {str(key): plain(item) for key, item in items}
        case list() | tuple():
            return [plain(item) for item in cast("list[object]", value)]
        case _:
            return value


def _params(spec: Spec) -> dict[str, Any]:
    return {
        name: {
            "value": found.value,
            "type": found.type,
            "origin": found.origin,
            **place_fields(found.place),
            "help": spec.architecture.params[name].help,
        }
        for name, found in spec.params.items()
    }


def _blocks(spec: Spec) -> dict[str, Any]:
    instances = Counter(instance.type for _, instance in walk(spec.root))
    return {
        name: {
            "instances": instances[name],
            "inputs": {key: contract.model_dump() for key, contract in block.inputs.items()},
            "outputs": {key: contract.model_dump() for key, contract in block.outputs.items()},
            **place_fields(spec.document.place(("blocks", name), key=True)),
        }
        for name, block in spec.architecture.blocks.items()
    }
