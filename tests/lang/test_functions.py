"""The table of functions: each is called, under every argument name that the table claims."""

from __future__ import annotations

import ast
import functools
import math
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from archspec.errors import UsageError
from archspec.lang.registry import functions
from archspec.lang.registry.functions import ALIASES, Function
from tests.tables import every

CALLS = [
    line
    for line in (Path(__file__).parent / "torch_calls.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
USUAL: dict[str, object] = {  # for arguments that no call there gives
    "device": "cpu",
    "dim": 1,
    "dtype": torch.float64,
    "inplace": True,
    "keepdim": True,
    "memory_format": torch.preserve_format,
    "other": torch.rand(2, 4, 6),
    "alpha": 0.5,
    "p": 0.5,
    "reduce": None,
    "reduction": "sum",
    "size_average": None,
    "training": True,
}
NOT_HERE = {"out_dtype", "align_to_window"}  # need a GPU; another argument than the others


def table() -> dict[str, Function]:
    """All but ``route``, which is ours: its own tests hold it against experts."""
    return {
        name: found
        for name in functions.names()
        if name != "route" and (found := functions.find(name))
    }


def calling(function: Function) -> Any:
    """The function as the generated Python calls it, once the table has nothing against it."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        assert function.problem_with(len(arguments), list(keywords)) == ""
        if function.is_method:
            return getattr(arguments[0], function.target[1:])(*arguments[1:], **keywords)
        return eval(function.target, {"torch": torch, "F": F})(*arguments, **keywords)

    return call


NAMES = {
    **{name: eval(text) for name, text in functions.CONSTANTS.items()},
    **{name: calling(function) for name, function in table().items()},
    "usual": USUAL,
}


def run(text: str) -> object:
    """Evaluates a call; the tensors are made anew, as some functions work in place."""
    torch.manual_seed(0)
    tensors = {
        "x": torch.rand(2, 4, 6),
        "image": torch.rand(1, 4, 6, 6),
        "volume": torch.rand(1, 4, 6, 6, 6),
        "matrix": torch.rand(6, 6),
        "i": torch.tensor([0, 1]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(text, {**NAMES, **tensors})


def call_of(text: str) -> ast.Call:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    return call


def name_of(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return call.func.id


def all_calls() -> list[str]:
    listed = {name_of(call_of(text)) for text in CALLS}
    return [*CALLS, *(_usual_call(f) for f in table().values() if f.name not in listed)]


def _usual_call(function: Function) -> str:
    first = "x" if function.is_method else f"{function.arguments[0]}=x"
    required = [f"{name}=usual[{name!r}]" for name in function.arguments[1 : function.least]]
    return f"{function.name}({', '.join([first, *required])})"


def more_calls() -> list[str]:
    """The first call of a function once more, for each argument that none of its calls gives."""
    calls: dict[str, list[str]] = {}
    for text in all_calls():
        calls.setdefault(name_of(call_of(text)), []).append(text)
    return [
        more
        for function in table().values()
        for more in _with_the_others(function, calls[function.name])
    ]


def _with_the_others(function: Function, calls: list[str]) -> list[str]:
    given = {word.arg for text in calls for word in call_of(text).keywords}
    if function.is_method:
        given.add(function.arguments[0])
    return [
        _with(calls, argument)
        for argument in function.arguments
        if argument not in given and argument not in NOT_HERE
    ]


def _with(calls: list[str], argument: str) -> str:
    known = ALIASES.get(argument, argument)
    for text in calls:  # an alias stands where the name that torch documents stood
        if known != argument and re.search(rf"\b{known}=", text):
            return re.sub(rf"\b{known}=", f"{argument}=", text)
    first = calls[0]
    extra = ", dim=1" if known == "keepdim" and "dim=" not in first else ""
    return f"{first[:-1]}{extra}, {argument}=usual[{known!r}])"


def by_place(text: str) -> str:
    """The call with its arguments given by place, as far as the table says they have one."""
    call = call_of(text)
    function = table()[name_of(call)]
    named = {word.arg: word for word in call.keywords}
    for name in function.arguments[len(call.args) : function.fixed]:
        if name not in named:
            break
        call.args.append(named[name].value)
        call.keywords.remove(named[name])
    return ast.unparse(call)


@every("text", all_calls())
def test_every_function_can_be_called_as_the_table_says(text: str) -> None:
    named = run(text)
    if by_place(text) != ast.unparse(call_of(text)):
        torch.testing.assert_close(run(by_place(text)), named, equal_nan=True)


@every("text", more_calls())
def test_every_argument_has_its_name(text: str) -> None:
    run(text)


def test_the_table_holds_what_a_model_needs_and_nothing_that_touches_the_world() -> None:
    known = set(functions.names())
    assert len(known) == 390
    assert not known & set(
        "apply_ compile data_ptr empty empty_like empty_strided eval from_file from_numpy item jit"
        " load manual_seed map_ nonzero numpy resize_ save set_default_device set_grad_enabled"
        " set_num_threads tolist unique".split()
    )
    targets = [function.target for function in table().values()]
    assert not [t for t in targets if "._" in t or "ops." in t or "utils." in t]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("relu", "F.relu"),
        ("softmax", "F.softmax"),
        ("dropout", "F.dropout"),
        ("layer_norm", "F.layer_norm"),
        ("tanh", "torch.tanh"),
        ("sigmoid", "torch.sigmoid"),
        ("cat", "torch.cat"),
        ("norm", "torch.linalg.norm"),
        ("expand", ".expand"),
        ("reshape", ".reshape"),
    ],
)
def test_a_name_in_two_namespaces_is_what_users_mean(name: str, target: str) -> None:
    assert table()[name].target == target


@every(
    ("name", "n_positional", "keywords", "problem"),
    [
        ("relu", 1, ["x"], "relu has no argument 'x'"),
        ("cat", 0, [], "cat needs at least 1 argument, got 0"),
        ("transpose", 4, [], "transpose takes at most 3 arguments, got 4"),
        ("transpose", 2, [], "transpose needs at least 3 arguments, got 2"),
        ("softmax", 3, [], "softmax takes at most 2 arguments by position, got 3"),
        ("softmax", 2, ["dim"], "softmax is given 'dim' twice"),
        ("softmax", 1, ["dim", "dim"], "softmax is given 'dim' twice"),
        ("sum", 2, ["axis"], "sum is given 'axis' twice"),
        ("sum", 1, ["dim", "axis"], "sum is given 'axis' twice"),
        ("linear", 1, ["bias"], "linear needs 'weight'"),
        ("unsqueeze", 1, ["axis"], ""),
        ("where", 1, [], "where needs at least 3 arguments, got 1"),
        ("einsum", 1, [], "einsum needs at least 2 arguments, got 1"),
        ("expand", 1, [], "expand needs at least 2 arguments, got 1"),
        ("expand", 0, ["input", "size"], "expand takes 'input' by position, as its first argument"),
        ("expand", 0, ["size"], "expand needs its first argument by position"),
        ("zeros", 2, ["requires_grad"], "zeros has no argument 'requires_grad'"),
        ("rand", 2, ["generator"], "rand has no argument 'generator'"),
        ("max", 2, ["out"], "max has no argument 'out'"),
        ("arange", 3, ["dtype", "device"], ""),
        ("reshape", 5, [], ""),
        ("reshape", 2, [], ""),
    ],
)
def test_a_call_that_does_not_fit(
    name: str, n_positional: int, keywords: list[str], problem: str
) -> None:
    assert table()[name].problem_with(n_positional, keywords) == problem


@every("function", table().values())
def test_no_function_takes_an_argument_that_it_does_not_have(function: Function) -> None:
    problem = f"{function.name} has no argument 'no_such'"
    assert function.problem_with(function.least, ["no_such"]) == problem
    if function.most is not None:
        assert "at most" in function.problem_with(function.most + 1, [])


def test_constants_are_torchs() -> None:
    found = {name: eval(text) for name, text in functions.CONSTANTS.items()}
    assert (found["bool"], found["int64"], found["inf"]) == (torch.bool, torch.int64, math.inf)
    assert (found["bfloat16"], found["channels_last"]) == (torch.bfloat16, torch.channels_last)
    assert found["pi"] == math.pi
    assert not {"float", "int", "long", "half"} & set(found)


def test_unknown_names_are_not_found() -> None:
    assert functions.find("rellu") is None
    assert functions.find("__class__") is None


# --- functions that trusted Python adds -----------------------------------------------------------


@pytest.fixture(autouse=True)
def _empty_register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions, "_registered", {})


def rotate(x: torch.Tensor, angle: float, /, axis: int = 0, *, scale: float) -> torch.Tensor:
    return x * scale


def gather_all(*tensors: torch.Tensor, **options: object) -> object:
    return tensors, options


def test_a_registered_function_is_found_and_checked() -> None:
    assert functions.register_op(rotate) is rotate
    found = functions.find("rotate")
    assert found is not None
    assert found == Function(
        "rotate",
        target="rotate",
        arguments=("x", "angle", "axis", "scale"),
        most=3,
        least=2,
        fixed=3,
        registered=True,
        module=__name__,
    )
    assert "rotate" in functions.names()
    assert found.problem_with(2, ["scale"]) == ""
    assert found.problem_with(1, ["scale"]) == "rotate needs 'angle'"
    assert found.problem_with(2, ["wide"]) == "rotate has no argument 'wide'"


def test_a_registered_function_may_take_anything() -> None:
    functions.register_op(gather_all, name="collect")
    found = functions.find("collect")
    assert found is not None
    assert (found.target, found.most, found.keywords_any) == ("gather_all", None, True)
    assert found.problem_with(9, ["anything"]) == ""


def test_a_registered_function_without_a_signature_takes_anything() -> None:
    functions.register_op(math.hypot, name="length")
    found = functions.find("length")
    assert found is not None
    assert (found.target, found.module) == ("hypot", "math")
    assert found.problem_with(3, ["anything"]) == ""


def test_register_op_as_a_decorator() -> None:
    assert functions.register_op()(rotate) is rotate
    assert functions.register_op(name="turn")(rotate) is rotate
    assert {"rotate", "turn"} <= set(functions.names())


def local_function() -> Any:
    def inner_function(x: object) -> object:
        return x

    return inner_function


@pytest.mark.parametrize(
    ("thing", "name", "message"),
    [
        (rotate, "relu", "relu cannot be registered: specs use the name already"),
        (rotate, "pi", "pi cannot be registered: specs use the name already"),
        (rotate, "range", "range cannot be registered: specs use the name already"),
        (rotate, "not a name", "'not a name' cannot name a registered function"),
        (rotate, "lambda", "'lambda' cannot name a registered function"),
        (local_function(), None, "cannot be registered: the Python made from a spec could not"),
        (lambda x: x, "same", "cannot be registered: the Python made from a spec could not"),
        (3, None, "register_op takes a function, not 3"),
        (functools.partial(rotate), "turn", "it has no name it can be imported by"),
    ],
)
def test_what_cannot_be_registered(thing: Any, name: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        functions.register_op(thing, name=name)
    assert caught.value.code == "E801"
    assert message in caught.value.message


def test_the_same_function_may_be_registered_again_and_no_other() -> None:
    functions.register_op(rotate)
    functions.register_op(rotate)
    with pytest.raises(UsageError) as caught:
        functions.register_op(gather_all, name="rotate")
    assert caught.value.message == f"rotate is registered already, as {__name__}.rotate"
