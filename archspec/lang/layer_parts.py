"""The modules that layers of torch.nn are made of, as patterns see them.

They have the names and classes that ``named_modules()`` gives. What an argument switches off, such
as a bias, is listed all the same, as it is of a layer itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from archspec.lang.expr import Value
from archspec.lang.instances import Instance
from archspec.lang.patterns import Entry
from archspec.lang.registry import layers

_OUTPUT = {"out_proj": "NonDynamicallyQuantizableLinear"}
_FEEDFORWARD = {"linear1": "Linear", "dropout": "Dropout", "linear2": "Linear"}
_FIXED: dict[str, dict[str, str]] = {
    "LinearCrossEntropyLoss": {"linear": "Linear"},
    "MultiheadAttention": _OUTPUT,
    "TransformerEncoderLayer": {
        "self_attn": "MultiheadAttention",
        **_FEEDFORWARD,
        **{f"norm{i}": "LayerNorm" for i in (1, 2)},
        **{f"dropout{i}": "Dropout" for i in (1, 2)},
    },
    "TransformerDecoderLayer": {
        "self_attn": "MultiheadAttention",
        "multihead_attn": "MultiheadAttention",
        **_FEEDFORWARD,
        **{f"norm{i}": "LayerNorm" for i in (1, 2, 3)},
        **{f"dropout{i}": "Dropout" for i in (1, 2, 3)},
    },
}
"""Layer → its modules, where they are the same whatever the arguments."""

_ALSO_LINEAR = "NonDynamicallyQuantizableLinear"
_DEFAULT_DEPTH = 6  # of nn.Transformer
_Parts = Mapping[str, Instance]


def walk_with_parts(root: Instance) -> Iterator[tuple[str, Instance]]:
    """Every module with its dotted path, parents first: ``named_modules`` of what is built."""
    stack = [("", root)]
    while stack:
        path, instance = stack.pop()
        yield path, instance
        prefix = f"{path}." if path else ""
        children = instance.children or tuple(_parts(instance).items())
        stack += [(prefix + name, child) for name, child in reversed(children)]


def entries(root: Instance) -> list[Entry]:
    """The tree as patterns see it: modules, and the tensors that they hold themselves."""
    found: list[Entry] = []
    for path, instance in walk_with_parts(root):
        found.append(Entry(path, instance.type))
        prefix = f"{path}." if path else ""
        found += [Entry(prefix + name, None) for name in instance.tensors]
    return found


def _parts(layer: Instance) -> _Parts:
    """The modules of a layer, by name; of a block or a container none."""
    given = layer.arguments
    match layer.type:
        case "TransformerEncoder" | "TransformerDecoder":
            kind = "encoder" if layer.type == "TransformerEncoder" else "decoder"
            return _stack(
                layer, given.get(f"{kind}_layer"), given.get("num_layers"), "norm" in given
            )
        case "Transformer":
            return {kind: _half(layer, kind) for kind in ("encoder", "decoder")}
        case "AdaptiveLogSoftmaxWithLoss":
            match given.get("cutoffs"):
                case (*cutoffs,):
                    tails = range(len(cutoffs))
                case _:
                    tails = range(0)
            two = {str(i): _part(layer, "Linear", bias=False) for i in (0, 1)}
            tail = {str(i): _part(layer, "Sequential", two) for i in tails}
            head = _part(layer, "Linear", bias=given.get("head_bias", False))
            return {"head": head, "tail": _part(layer, "ModuleList", tail)}
        case kind:
            bias = given.get("bias", True)
            return {n: _part(layer, k, bias=bias) for n, k in _FIXED.get(kind, {}).items()}


def _stack(layer: Instance, one: Value, count: Value, has_norm: bool) -> _Parts:
    """What a stack of layers holds: copies of one, and a norm."""
    depth = count if isinstance(count, int) else 0
    copies = {str(i): one for i in range(depth)} if isinstance(one, Instance) else {}
    norm = layer.arguments.get("norm")
    found = {"layers": _part(layer, "ModuleList", copies)}
    return {**found, "norm": norm} if has_norm and isinstance(norm, Instance) else found


def _half(layer: Instance, kind: str) -> Instance:
    """The encoder or the decoder of nn.Transformer."""
    custom = layer.arguments.get(f"custom_{kind}")
    if isinstance(custom, Instance):
        return custom
    bias = layer.arguments.get("bias", True)
    name = f"Transformer{kind.title()}"
    depth = layer.arguments.get(f"num_{kind}_layers", _DEFAULT_DEPTH)
    one = _part(layer, f"{name}Layer", bias=bias)
    norm = _part(layer, "LayerNorm", bias=bias)
    return _part(layer, name, {**_stack(layer, one, depth, False), "norm": norm})


def _part(
    layer: Instance, kind: str, children: _Parts | None = None, bias: Value = True
) -> Instance:
    known = layers.find("Linear" if kind == _ALSO_LINEAR else kind)
    tensors = (*known.parameters, *known.buffers) if known else ()
    return Instance(kind, layer.path, {"bias": bias}, tuple((children or {}).items()), tensors)
