"""What may be said to whoever gave a checkpoint that does not fit: nothing but what helps.

A pattern that is offered selects the tensors in question and no other. Where the file seems to hold
a tensor that the model misses, under another name or as a part of another tensor, nothing is
offered that would leave both unread.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import prod

from archspec.weights.layouts import closest_name
from archspec.weights.rows import TensorInfo
from archspec.weights.tensor_names import Names

MAX_PATTERNS = 24
_MAX_COMPARED = 300  # tensors of a side
_OF_PEFT = frozenset(
    "base_layer lora_A lora_B lora_embedding_A lora_embedding_B lora_magnitude_vector "
    "modules_to_save original_module ia3_l".split()
)

_OF_QUANTIZATION = frozenset(
    "qweight qzeros g_idx SCB absmax quant_map nested_absmax weight_packed weight_scale "
    "weight_scale_inv weight_zero_point".split()
)  # of GPTQ, AWQ, bitsandbytes, compressed-tensors, FP8

Shape = tuple[int, ...]


def exact_patterns(names: Collection[str], side: Names, of: Iterable[str]) -> list[str]:
    """Patterns that select these names of one side, and no other; none where there are too many.

    Args:
        names: what is to be selected.
        side: the side, to select from.
        of: all names of that side.

    >>> both = ["a.weight", "a.bias", "b.weight", "b.bias"]
    >>> exact_patterns(both[:3], Names(both), both)
    ['a', 'b.weight']
    """
    selected = frozenset(names)
    others = {parent for name in of if name not in selected for parent in _parents(name)}
    groups: dict[str, list[str]] = {}
    for name in names:
        parent = next((parent for parent in _parents(name) if parent not in others), name)
        groups.setdefault(parent, []).append(name)
        if len(groups) > MAX_PATTERNS:
            return []
    patterns = [parent if len(below) > 1 else below[0] for parent, below in groups.items()]
    if any("*" in pattern for pattern in patterns):  # the name of a tensor may look like one
        return []
    return patterns if side.select_exactly(patterns, selected) else []


def adapter_hint(unexpected: Iterable[TensorInfo]) -> str:
    """What to do with a file of a model that still has its adapter; "" for others.

    >>> adapter_hint([TensorInfo("fc.lora_A.default.weight", (2, 8), "float32")])[:40]
    'these are names of a model with an adapt'
    """
    if not any(_OF_PEFT.intersection(tensor.name.split(".")) for tensor in unexpected):
        return ""
    return (
        "these are names of a model with an adapter of PEFT inside: merge it there "
        "(merge_and_unload) and save it again, or save the adapter alone, for --adapter"
    )


def quantized_hint(unexpected: Iterable[TensorInfo]) -> str:
    """What to do with a file whose weights are packed into fewer bits; "" for others.

    >>> quantized_hint([TensorInfo("fc.qweight", (1, 8), "int32")])
    'the file has quantized weights: save it dequantized'
    """
    if not any(tensor.name.rpartition(".")[2] in _OF_QUANTIZATION for tensor in unexpected):
        return ""
    return "the file has quantized weights: save it dequantized"


def _parents(name: str) -> list[str]:
    """The paths above a tensor, the outermost first."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def relations(missing: Sequence[TensorInfo], unexpected: Sequence[TensorInfo]) -> Iterator[str]:
    """How tensors without a counterpart may be each other's, a sentence each."""
    ours, theirs = missing[:_MAX_COMPARED], unexpected[:_MAX_COMPARED]
    yield from _same(ours, theirs)
    for whole, parts in _fused(theirs, ours):
        yield f"'{whole}' in the file may hold {parts}: see split and stack"
    for whole, parts in _fused(ours, theirs):
        yield f"'{whole}' may stand in the file as {parts}: see split and stack"


def _same(ours: Sequence[TensorInfo], theirs: Sequence[TensorInfo]) -> Iterator[str]:
    alike: defaultdict[Shape, list[str]] = defaultdict(list)
    for tensor in theirs:
        alike[tuple(sorted(tensor.shape))].append(tensor.name)
    for tensor in ours:
        if candidates := alike.get(tuple(sorted(tensor.shape))):
            likely = closest_name(tensor.name, candidates) or candidates[0]
            yield f"'{tensor.name}' may be '{likely}' in the file"


def _fused(wholes: Sequence[TensorInfo], parts: Sequence[TensorInfo]) -> Iterator[tuple[str, str]]:
    """Tensors that others may be parts of: of equal ones, or of those beside each other."""
    counts = Counter(tensor.shape for tensor in parts)
    groups: defaultdict[tuple[str, str], list[TensorInfo]] = defaultdict(list)
    for tensor in parts:
        if len(tensor.shape):
            above, _, last = tensor.name.rpartition(".")
            groups[above.rpartition(".")[0], last].append(tensor)
    for whole in wholes:
        for shape, count in counts.items():
            times = _times(whole.shape, shape)
            if 2 <= times <= count:
                yield whole.name, f"{times} of shape {list(shape)}"
                break
        else:
            for group in groups.values():
                if len(group) > 1 and _adds_up(whole.shape, [one.shape for one in group]):
                    yield whole.name, ", ".join(f"'{one.name}'" for one in group[:4])
                    break


def _times(whole: Shape, part: Shape) -> int:
    """How many of a part make the whole, joined along a dimension or a new one; 0 if none do."""
    if not prod(part) or not part:
        return 0
    times, rest = divmod(prod(whole), prod(part))
    if rest or len(whole) not in (len(part), len(part) + 1):
        return 0
    if len(whole) == len(part):
        differ = [(a, b) for a, b in zip(whole, part, strict=True) if a != b]
        return times if len(differ) == 1 else 0
    return times if any(part == (*whole[:i], *whole[i + 1 :]) for i in range(len(whole))) else 0


def _adds_up(whole: Shape, parts: Sequence[Shape]) -> bool:
    """Whether parts that may be unequal, such as a query and its fewer keys, make the whole."""
    if not whole or any(len(part) != len(whole) for part in parts):
        return False
    for dim, size in enumerate(whole):
        others = (*whole[:dim], *whole[dim + 1 :])
        if all((*part[:dim], *part[dim + 1 :]) == others for part in parts):
            return sum(part[dim] for part in parts) == size
    return False
