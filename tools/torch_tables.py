"""Writes the tables of PyTorch's layers and functions that archspec checks specs against.

    python tools/torch_tables.py            rewrites torch_{layers,functions}.json
    python tools/torch_tables.py --check    says what is out of date; exits with 1 if anything is

Layers are read from the signatures of torch.nn; functions from their signatures where they are
Python, from torch's stub files where they are not. What neither says is written here by hand.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from inspect import Parameter
from pathlib import Path

import torch
from torch import nn
from torch_signatures import Overload, is_python, overloads_of

from archspec.lang.registry.arguments import Argument, argument_of
from archspec.lang.registry.functions import ALIASES
from archspec.lang.registry.layers import CONTAINERS

TABLES = Path(__file__).parents[1] / "archspec" / "lang" / "registry"

# --- layers ---------------------------------------------------------------------------------------

NOT_LAYERS = {"Module", "Container", "DataParallel", "ParameterList", "ParameterDict", *CONTAINERS}
NOT_ARGUMENTS = {
    *("device", "dtype", "process_group", "options"),  # not a spec's to choose
    *("Hardtanh.min_value", "Hardtanh.max_value"),  # renamed, with a warning
}
LAZY = ("", "Lazy")
KINDS = {  # what the signatures do not tell, for an argument of this name
    "activation": "str:relu,gelu|module",
    "custom_decoder": "none|module",
    "custom_encoder": "none|module",
    "decoder_layer": "module",
    "embed_dim": "int",
    "encoder_layer": "module",
    "kdim": "int|none",
    "momentum": "float|none",
    "nonlinearity": "str:tanh,relu",
    "num_heads": "int",
    "reduce": "bool|none",
    "reduction": "str:none,mean,sum",
    "size_average": "bool|none",
    "vdim": "int|none",
    "EmbeddingBag.mode": "str:sum,mean,max",
    "GELU.approximate": "str:none,tanh",
    "KLDivLoss.reduction": "str:none,batchmean,sum,mean",
    "RNNBase.mode": "str:LSTM,GRU,RNN_TANH,RNN_RELU",
    "Upsample.mode": "str:nearest,linear,bilinear,bicubic,trilinear,nearest-exact,area",
    **{f"{lazy}Conv{n}d.padding": "int|ints|str:valid,same" for n in "123" for lazy in LAZY},
    **{f"{lazy}ConvTranspose{n}d.padding_mode": "str:zeros" for n in "123" for lazy in LAZY},
}
EXAMPLES: dict[str, object] = {  # where 4 (or 0.5) will not do
    "cutoffs": [2],
    "nhead": 2,
    "num_heads": 2,
    "unflattened_size": [2, 2],
    "FractionalMaxPool2d.output_size": 2,
    "FractionalMaxPool3d.output_size": 2,
}
VARIANTS: dict[str, list[dict[str, object]]] = {  # which together have all there can be
    "GRU": [{"bidirectional": True}],
    "LSTM": [{"bidirectional": True, "proj_size": 2}],
    "MultiheadAttention": [{}, {"kdim": 3, "vdim": 5, "add_bias_kv": True}],
    "RNN": [{"bidirectional": True}],
    "TransformerDecoder": [{"norm": nn.LayerNorm(4)}],
    "TransformerDecoderLayer": [{"activation": nn.SiLU()}],
    "TransformerEncoder": [{"norm": nn.LayerNorm(4)}],
    "TransformerEncoderLayer": [{"activation": nn.SiLU()}],
    "RNNBase": [{"bidirectional": True, "proj_size": 2}],
}


def layer_classes() -> dict[str, type[nn.Module]]:
    """The layers of torch.nn that a spec may name."""
    found = {name: getattr(nn, name) for name in dir(nn) if name not in NOT_LAYERS}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }


def layer_row(name: str, cls: type[nn.Module]) -> dict[str, object]:
    """What the table says about one layer; an entry that says nothing is left out."""
    arguments = [_layer_argument(name, p) for p in _parameters_of(name, cls)]
    row: dict[str, object] = {
        "arguments": [_argument_row(a) for a in arguments],
        **_members(name, cls, arguments),
        "keywords_any": cls is nn.Identity,
        "stacked": issubclass(cls, nn.RNNBase),
    }
    return {key: value for key, value in row.items() if value or key == "arguments"}


def example(name: str, arguments: Sequence[Argument]) -> dict[str, object]:
    """Arguments that the layer can be made of: the required ones, and no more than it needs."""
    own = {a.name: EXAMPLES.get(f"{name}.{a.name}", EXAMPLES.get(a.name)) for a in arguments}
    return {
        a.name: _example(a) if own[a.name] is None else own[a.name]
        for a in arguments
        if a.required or own[a.name] is not None
    }


def _example(argument: Argument) -> object:
    modules = {
        "encoder_layer": nn.TransformerEncoderLayer,
        "decoder_layer": nn.TransformerDecoderLayer,
    }
    if argument.name in modules:
        return modules[argument.name](4, 2)
    if argument.choices:
        return argument.choices[0]
    return {"int": 4, "float": 0.5, "bool": True}[argument.kinds[0]]


def _parameters_of(name: str, cls: type[nn.Module]) -> list[Parameter]:
    if cls.__init__ is nn.Module.__init__ or cls is nn.Identity:
        return []
    if name in ("RNN", "LSTM", "GRU"):
        return _recurrent_parameters(name)
    return [
        p
        for p in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if NOT_ARGUMENTS.isdisjoint((p.name, f"{name}.{p.name}")) and not p.name.startswith("_")
    ]


def _recurrent_parameters(name: str) -> list[Parameter]:
    """Their signatures are (*args, **kwargs), handed on to RNNBase."""
    base = {p.name: p for p in _parameters_of("RNNBase", nn.RNNBase) if p.name != "mode"}
    if name != "LSTM":
        del base["proj_size"]
    if name == "RNN":
        base["nonlinearity"] = Parameter(
            "nonlinearity", Parameter.KEYWORD_ONLY, default="tanh", annotation=str
        )
    return list(base.values())


def _layer_argument(layer: str, parameter: Parameter) -> Argument:
    required = parameter.default is parameter.empty
    if known := KINDS.get(f"{layer}.{parameter.name}") or KINDS.get(parameter.name):
        heads, _, choices = zip(*(kind.partition(":") for kind in known.split("|")), strict=True)
        default = None if required else getattr(parameter.default, "__name__", parameter.default)
        chosen = tuple(choice for listed in choices for choice in listed.split(",") if choice)
        return Argument(parameter.name, heads, required, default, chosen)
    if parameter.annotation is parameter.empty:
        parameter = parameter.replace(annotation=type(parameter.default))
    return argument_of(parameter)


def _argument_row(argument: Argument) -> list[object]:
    kinds = {kind: kind for kind in argument.kinds}
    if argument.choices:
        kinds["str"] = f"str:{','.join(argument.choices)}"
    default = [] if argument.required else [argument.default]
    return [argument.name, "|".join(kinds.values()), *default]


def _members(
    name: str, cls: type[nn.Module], arguments: Sequence[Argument]
) -> dict[str, list[str]]:
    """The names of what some instance of the layer holds: tensors and modules."""
    found: dict[str, dict[str, None]] = {"parameters": {}, "buffers": {}, "children": {}}
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for variant in VARIANTS.get(name, [{}]):
            layer = cls(**example(name, arguments), **variant)
            held = layer._parameters, layer._buffers, layer._modules
            for names, members in zip(found.values(), held, strict=True):
                names.update(dict.fromkeys(members))
    return {kind: [n for n in names if not n.startswith("_")] for kind, names in found.items()}


# --- functions ------------------------------------------------------------------------------------

TORCH = """
    abs acos acosh add addbmm addcdiv addcmul addmm adjoint all amax amin aminmax angle any arange
    argmax argmin argsort asin asinh atan atan2 atanh atleast_1d atleast_2d atleast_3d baddbmm
    bernoulli bitwise_and bitwise_not bitwise_or bitwise_xor block_diag bmm broadcast_tensors
    broadcast_to bucketize cat cdist ceil chunk clamp clamp_max clamp_min clone complex concat conj
    copysign cos cosh count_nonzero cross cummax cummin cumprod cumsum det detach diag diag_embed
    diagonal diagonal_scatter diff digamma div dot dstack einsum eq erf erfc erfinv exp exp2 expm1
    eye flatten float_power floor floor_divide fmod frac full full_like gather ge gt hamming_window
    hann_window heaviside hstack hypot imag index_add index_copy index_fill index_put index_select
    inner inverse is_complex is_floating_point isclose isfinite isin isinf isnan istft kron kthvalue
    le lerp lgamma linspace log log10 log1p log2 logaddexp logcumsumexp logdet logical_and
    logical_not logical_or logical_xor logit logspace logsumexp lt masked_fill masked_scatter matmul
    matrix_exp matrix_power max maximum mean median meshgrid min minimum mm moveaxis movedim mul
    multinomial mv nan_to_num nanmean nansum narrow ne neg numel ones ones_like outer polar pow prod
    quantile rand rand_like randint randint_like randn randn_like randperm ravel real reciprocal
    remainder repeat_interleave roll rot90 round rsqrt scatter scatter_add scatter_reduce
    searchsorted select select_scatter sigmoid sigmoid_ sign sin sinc sinh slice_scatter slogdet
    sort split sqrt square squeeze stack std std_mean stft sub sum swapaxes swapdims t
    take_along_dim tan tanh tanh_ tensor tensor_split tensordot topk trace transpose tril
    tril_indices triu triu_indices true_divide trunc unbind unflatten unsqueeze var var_mean
    view_as_complex view_as_real vstack where xlogy zeros zeros_like
"""
FUNCTIONAL = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d affine_grid alpha_dropout avg_pool1d avg_pool2d
    avg_pool3d batch_norm bilinear binary_cross_entropy binary_cross_entropy_with_logits celu celu_
    channel_shuffle conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    cosine_embedding_loss cosine_similarity cross_entropy ctc_loss dropout dropout1d dropout2d
    dropout3d elu elu_ embedding embedding_bag feature_alpha_dropout fold fractional_max_pool2d
    fractional_max_pool3d gaussian_nll_loss gelu glu grid_sample group_norm gumbel_softmax
    hardshrink hardsigmoid hardswish hardtanh hardtanh_ hinge_embedding_loss huber_loss
    instance_norm interpolate kl_div l1_loss layer_norm leaky_relu leaky_relu_ linear
    local_response_norm log_softmax logsigmoid lp_pool1d lp_pool2d lp_pool3d margin_ranking_loss
    max_pool1d max_pool2d max_pool3d max_unpool1d max_unpool2d max_unpool3d mish mse_loss
    multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nll_loss normalize one_hot
    pad pairwise_distance pdist pixel_shuffle pixel_unshuffle poisson_nll_loss prelu relu relu6
    relu_ rms_norm rrelu rrelu_ scaled_dot_product_attention selu selu_ silu smooth_l1_loss
    soft_margin_loss softmax softmin softplus softshrink softsign tanhshrink threshold threshold_
    triplet_margin_loss unfold
"""
METHODS = """
    add_ bfloat16 bool contiguous copy_ double expand expand_as flip float half int long new_full
    new_ones new_zeros permute repeat reshape reshape_as short sum_to_size tile to type_as view
    view_as
"""
ELSEWHERE = {
    "norm": "torch.linalg.norm",
    **{name: f"torch.linalg.{name}" for name in "cholesky solve vector_norm".split()},
    **{name: f"torch.fft.{name}" for name in "fft fft2 fftn fftshift ifft ifft2 ifftn".split()},
    **{name: f"torch.fft.{name}" for name in "ifftshift irfft irfft2 rfft rfft2".split()},
}
CASTS = "bfloat16 bool double float half int long short".split()  # the stubs forget an argument
LEAST = {"einsum": 2, "repeat_interleave": 2, "where": 3}  # the latter: shapes made of values


def targets() -> dict[str, str]:
    """What each function that a spec may call is in Python."""
    return {
        **{name: f"torch.{name}" for name in TORCH.split()},
        **{name: f"F.{name}" for name in FUNCTIONAL.split()},
        **{name: f".{name}" for name in METHODS.split()},
        **ELSEWHERE,
    }


def function_row(name: str, target: str) -> dict[str, object]:
    """What the table says about one function, all its overloads taken together."""
    overloads = sorted(overloads_of(target), key=lambda o: len(o.placed), reverse=True)
    arguments = dict.fromkeys(word for o in overloads for word in o.placed)
    arguments |= dict.fromkeys(word for o in overloads for word in o.by_name)
    arguments |= dict.fromkeys(["memory_format"] if name in CASTS else [])
    if not is_python(target):
        arguments |= {alias: None for alias, word in ALIASES.items() if word in arguments}
    return {
        "target": target,
        "arguments": list(arguments),
        "most": None if any(o.spread for o in overloads) else len(overloads[0].placed),
        "least": LEAST.get(name, min(o.required for o in overloads)),
        "fixed": _fixed(overloads),
    }


def _fixed(overloads: Sequence[Overload]) -> int:
    """How many leading arguments have one name wherever they have a place at all."""
    most = min([len(overloads[0].placed), *(len(o.placed) for o in overloads if o.spread)])
    for place in range(most):
        if len({o.placed[place] for o in overloads if place < len(o.placed)}) > 1:
            return place
    return most


# --- files ----------------------------------------------------------------------------------------


def tables() -> dict[Path, str]:
    """The text of each table: one layer or function a line, in the order of their names."""
    layers = {name: layer_row(name, cls) for name, cls in layer_classes().items()}
    functions = {name: function_row(name, target) for name, target in targets().items()}
    return {
        TABLES / "torch_layers.json": _text("layers", layers),
        TABLES / "torch_functions.json": _text("functions", functions),
    }


def _text(key: str, rows: dict[str, dict[str, object]]) -> str:
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows[name])}" for name in sorted(rows))
    version = ".".join(torch.__version__.split(".")[:2])
    return f'{{"torch": "{version}", "{key}": {{\n{lines}\n}}}}\n'


def main(arguments: Sequence[str]) -> int:
    """Writes the tables, or compares them; returns the exit code."""
    parser = argparse.ArgumentParser(description="tables of PyTorch's layers and functions")
    parser.add_argument("--check", action="store_true", help="write nothing; compare")
    if parser.parse_args(arguments).check:
        changes = [line for path, text in tables().items() for line in _changes(path, text)]
        print(*changes, sep="\n", end="\n" if changes else "")
        return 1 if changes else 0
    for path, text in tables().items():
        path.write_text(text, encoding="utf-8")
    return 0


def _changes(path: Path, text: str) -> Iterator[str]:
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in difflib.unified_diff(known.splitlines(), text.splitlines(), n=0, lineterm=""):
        if line[0] in "+-" and line[:3] not in ("+++", "---"):
            yield f"{path.name}: {line[:160]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
