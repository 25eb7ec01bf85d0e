"""Specs that would run away are refused with a place and a number, or are done in no time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import archspec
from archspec.cli import main
from archspec.errors import BuildError
from archspec.tracing import limits
from archspec.tracing.limits import RunLimitExceeded
from archspec.tracing.meta_run import MetaRun

SECONDS, MEGABYTES = 4.0, 500  # 2 s are promised; tests beside this one share the caches
DISTINCT_SECONDS = 8.0  # thousands of layers of their own sizes: PyTorch's share alone is over 2 s


def net(
    forward: str,
    *,
    modules: str = "fc: {type: ReLU}",
    inputs: str = "x: [batch, 3]",
    more: str = "",
) -> str:
    return (
        "archspec: 1\nmodel: Net\nblocks:\n  Net:\n"
        f"    inputs: {{{inputs}}}\n    modules: {{{modules}}}\n    forward: [{forward}]\n{more}\n"
    )


def chain(depth: int, forward: str, last: str = "ReLU", *, items: bool = False) -> str:
    """Blocks A0, A1, … that call one another, each as ``a``, or with ``items`` as ``a[0]``."""
    types = [*(f"{{type: A{i}}}" for i in range(1, depth)), f"{{type: {last}}}"]
    children = [f"{{type: ModuleList, items: [{kind}]}}" if items else kind for kind in types]
    blocks = [
        f"  A{i}: {{inputs: {{x: [b, 3]}}, modules: {{a: {child}}}, forward: [{forward}]}}"
        for i, child in enumerate(children)
    ]
    return net("{return: fc(x)}", modules="fc: {type: A0}", more="\n".join(blocks))


def layer(text: str, inputs: str = "x: [batch, 3]") -> str:
    return net("{return: fc(x)}", modules=f"fc: {text}", inputs=inputs)


ENCODER = "{type: TransformerEncoderLayer, d_model: 4, nhead: 1, dim_feedforward: 4}"
ALL: tuple[str, ...] = ("build", "inspect", "table", "draw", "to_python")
RUN = "E505 bomb.yaml:"
STACK = "E401 bomb.yaml:6:"

# What a run does too often: refused at the step, with the limit.
RUNAWAYS = {
    "calls": chain(40, "{return: 'a(a(x))'}"),
    "calls of nothing": chain(40, "{return: 'a(a(x))'}", "Identity"),
    "loops of calls": chain(6, "{for: i in range(1000), do: [{x: a(x)}]}, {return: x}"),
    "calls of items": chain(40, "{return: 'a[0](a[0](x))'}", items=True),
    "loops of items": chain(
        6, "{for: i in range(1000), do: [{x: 'a[0](x)'}]}, {return: x}", items=True
    ),
    "numbers of an item": net(
        "{n: 3}, {for: i in range(60), do: [{n: 'square[0](n)'}]}, {return: x}",
        modules="square: {type: ModuleList, items: [{type: S}]}",
        more="  S: {inputs: {n: int}, forward: [{return: n * n}]}",
    ),
    "loops of nothing": chain(6, "{for: i in range(1000), do: [{k: i}]}, {return: a(a(x))}"),
    "loop of 10^12": net(
        "{n: 'zeros([1000000000000]).shape[0]'},"
        " {for: i in range(n), do: [{x: relu(x)}]}, {return: x}"
    ),
    "loop of numbers": net(
        "{n: 'zeros([1000000000000]).shape[0]'}, {for: i in range(n), do: [{k: i}]}, {return: x}"
    ),
    "loop over len": net(
        "{y: 'zeros([1000000, 2])'}, {for: i in range(len(y)), do: [{x: x + 1}]}, {return: x}"
    ),
    "enumerate": net(
        "{n: 'ones(900000)'}, {for: 'i, j in enumerate(n)', do: [{x: -x}]}, {return: x}"
    ),
    "loop of 50,000": net("{for: i in range(50000), do: [{x: relu(x)}]}, {return: x}"),
    "in place": net("{for: i in range(50000), do: [{y: 'add_(x, 1)'}]}, {return: x}"),
    "unbind": net("{y: unbind(x)}, {return: x}", more="dims: {batch: 1000000}"),
    "unbind a factory": net("{y: 'unbind(zeros([3, 1000000]), 1)'}, {return: x}"),
    "unbind a last dim": net("{y: 'unbind(zeros([3, 1000000]), -1)'}, {return: x}"),
    "split": net("{y: 'split(x, 1)'}, {return: x}", more="dims: {batch: 1000000}"),
    "chunk": net("{y: 'chunk(x, 1000000)'}, {return: x}", more="dims: {batch: 1000000}"),
    "tensor_split": net(
        "{y: 'tensor_split(x, 1000000)'}, {return: x}", more="dims: {batch: 1000000}"
    ),
    "diff": net("{y: 'diff(ones(1000000), 900000)'}, {return: x}"),
    "CrossMapLRN2d": layer("{type: CrossMapLRN2d, size: 10000000}", "x: [2, 900000, 1, 1]"),
    "too large": net("{y: 'zeros([1000000, 1000000, 1000000])'}, {return: x}"),
    "grows": net("{for: i in range(60), do: [{x: 'cat([x, x])'}]}, {return: x}"),
    "repeat": net("{y: 'repeat(x, 1000000, 100000, 10000)'}, {return: x}"),
}  # fmt: skip

# Told before any run.
COUNTED = {
    "calls", "calls of nothing", "loops of calls", "calls of items", "loops of items"
}  # fmt: skip

# What differs everywhere, so that nothing is computed once for all.
DISTINCT = {
    "values": net(
        "{return: fc(x)}",
        modules="fc: {type: Sequential, items: [{type: V, repeat: 5000, index: i, n: $i}]}",
        more="  V: {params: {n: int}, inputs: {x: [b, 3]},"
        " buffers: {w: {value: $arange(3) + n}}, forward: [{return: x + w}]}",
    ),
    "experts": net(
        "{'w, c': 'topk(softmax(gate(x), -1), 2, -1)'}, {return: 'route(x, experts, c, w)'}",
        modules="gate: {type: Linear, in_features: 3, out_features: 1800}, experts:"
        " {type: ModuleList, items: [{type: E, n: $i + 1, repeat: 1800, index: i}]}",
        more="  E: {params: {n: int}, inputs: {x: [b, 3]},"
        " modules: {a: {type: Linear, in_features: 3, out_features: $n},"
        " c: {type: Linear, in_features: $n, out_features: 3}},"
        " forward: [{return: c(a(x))}]}\ndims: {batch: 40000}",
    ),
    "carry": net(
        "{return: fc(x)}",
        modules="fc: {type: Sequential, items: [{repeat: 9000, index: i, carry: {c: [3, $i + 1]},"
        " items: [{type: Linear, in_features: $c, out_features: $i + 1}]}]}",
    ),
    "a list": net(
        "{xs: '[x]'}, {for: i in range(60), do: [{xs: twice(xs)}]}, {return: x}",
        modules="twice: {type: D}",
        more="  D: {inputs: {xs: [[b, 3]]}, forward: [{return: xs + xs}]}",
    ),
}

# Their rounds are alike: one of them tells the costs of all, but a drawing has each.
ALIKE = {
    "loops of nothing", "loop of 10^12", "loop of numbers", "loop over len", "loop of 50,000",
    "in place",
}  # fmt: skip

# What would be built too often: refused where it is declared, with the number.
STACKS = {
    "TransformerEncoder": layer(
        f"{{type: TransformerEncoder, num_layers: 10000, encoder_layer: {ENCODER}}}",
        "x: [batch, 3, 4]",
    ),
    "LSTM layers": layer("{type: LSTM, input_size: 3, hidden_size: 3, num_layers: 10000}"),
    "Transformer": layer("{type: Transformer, d_model: 4, nhead: 1, num_encoder_layers: 10000}"),
    "decoders": layer("{type: Transformer, d_model: 4, nhead: 1, num_decoder_layers: 5000}"),
}

# What takes no memory on meta, and no time.
HARMLESS = {
    "calls in calls": net(
        "{return: '" + "a(" * 35 + "x" + ")" * 35 + "'}",
        modules="a: {type: A}",
        more="  A: {inputs: {x: [b, 3]}, forward: [{return: x}]}",
    ),
    "ones": net("{y: 'ones([400000000])'}, {return: x}"),
    "zeros": net("{y: 'zeros([400000000])'}, {return: x}"),
    "full": net("{y: 'full([400000000], 1.5)'}, {return: x}"),
    "arange": net("{y: arange(400000000)}, {return: x}"),
    "linspace": net("{y: 'linspace(0, 1, 400000000)'}, {return: x}"),
    "eye": net("{y: eye(20000)}, {return: x}"),
    "randn": net("{y: randn(400000000)}, {return: x}"),
    "randperm": net("{y: randperm(400000000)}, {return: x}"),
    "tril_indices": net("{y: 'tril_indices(20000, 20000)'}, {return: x}"),
    "window": net("{y: hann_window(400000000)}, {return: x}"),
    "new_zeros": net("{y: 'new_zeros(x, 400000000)'}, {return: x}"),
    "ties": net(
        "{return: 'tied[0](fc(x))'}",
        modules="fc: {type: Linear, in_features: 3, out_features: 3}, tied: {type: ModuleList,"
        " items: [{type: Linear, in_features: 3, out_features: 3, repeat: 4000}]}",
        more="tie: {" + ", ".join(f"tied.{i}.weight: fc.weight" for i in range(4000)) + "}",
    ),
    "loop of 1,000": net("{for: i in range(1000), do: [{x: relu(x)}]}, {return: x}"),
}


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, tuple[float, int, str]]]:
    texts = {name: (text, ALL) for name, text in {**RUNAWAYS, **STACKS, **HARMLESS}.items()}
    # These take seconds: what is drawn was built and run before.
    texts |= {name: (text, ("draw", "to_python")) for name, text in DISTINCT.items()}
    done = subprocess.run(
        [sys.executable, "-m", "tests.building.bounds_child"],
        cwd=Path(__file__).parents[2],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def wrong(
    results: dict[str, dict[str, tuple[float, int, str]]],
    names: dict[str, str],
    expected: Mapping[str, tuple[str, str]],
) -> list[str]:
    """The rows that took too much or said something else."""
    bad: list[str] = []
    for name in names:
        for action, (seconds, megabytes, said) in results[name].items():
            start, number = expected[action]
            limit = DISTINCT_SECONDS if name in ("experts", "carry") else SECONDS
            if seconds > limit or megabytes > MEGABYTES:
                bad.append(f"{name}, {action}: {seconds:.1f} s, {megabytes} MB, {said}")
            elif not said.startswith(start) or number not in said:
                bad.append(f"{name}, {action}: {said}")
    return bad


def test_a_run_that_would_not_end_is_refused_at_its_step(
    results: dict[str, dict[str, tuple[float, int, str]]],
) -> None:
    large = {name: RUNAWAYS[name] for name in ("too large", "grows", "repeat")}
    before = RUNAWAYS.keys() & COUNTED
    counted = {name: RUNAWAYS[name] for name in before}
    expected = dict.fromkeys(ALL, ("E307 bomb.yaml:", "steps or more"))
    assert not wrong(results, counted, expected)
    large_numbers = {"numbers of an item": ("E307 bomb.yaml:7:", "4,096 bits")}
    for name, told in large_numbers.items():
        assert not wrong(results, {name: ""}, dict.fromkeys(ALL, told))
    rest = RUNAWAYS.keys() - large.keys() - before - large_numbers.keys()
    alike = {name: RUNAWAYS[name] for name in rest & ALIKE}
    many = {name: RUNAWAYS[name] for name in rest - ALIKE}
    too_many = (RUN, f"{limits.MAX_OPERATIONS:,} operations")
    for names, told in ((many, too_many), (large, (RUN, "10^15"))):
        expected = dict.fromkeys(("build", "inspect", "table", "draw"), told)
        assert not wrong(results, names, {**expected, "to_python": ("done", "")})
    assert not wrong(results, alike, {**dict.fromkeys(ALL, ("done", "")), "draw": too_many})


def test_a_run_in_which_everything_differs_is_refused(
    results: dict[str, dict[str, tuple[float, int, str]]],
) -> None:
    numbers = {
        "values": ("E505 bomb.yaml:8:", "all blocks together take more than 10,000 operations"),
        "experts": (RUN, "10,000 operations"),
        "carry": (RUN, "10,000 operations"),
        "a list": (RUN, "'xs' has more than 100,000 tensors"),
    }
    for name, told in numbers.items():
        expected = dict.fromkeys(("build", "inspect", "table", "draw"), told)
        assert not wrong(results, {name: ""}, {**expected, "to_python": ("done", "")})


def test_a_stack_of_layers_is_refused_where_it_stands(
    results: dict[str, dict[str, tuple[float, int, str]]],
) -> None:
    expected = dict.fromkeys(ALL, (STACK, ",000 layers"))
    assert not wrong(results, STACKS, expected)


def test_nothing_gets_memory_on_meta(
    results: dict[str, dict[str, tuple[float, int, str]]],
) -> None:
    expected = dict.fromkeys(ALL, ("done", ""))
    assert not wrong(results, HARMLESS, expected)


LONGER = "'cat([x, x[:1]])'"  # each round differs from the one before


def test_the_variable_raises_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = archspec.loads(net(f"{{for: i in range(60), do: [{{x: {LONGER}}}]}}, {{return: x}}"))
    monkeypatch.setenv(limits.VARIABLE, "100")
    with pytest.raises(BuildError) as caught:
        archspec.build(spec, device="meta")
    problem = caught.value.problems[0]
    assert (problem.code, problem.message) == (
        "E505", "one run of the model takes more than 100 operations"
    )  # fmt: skip
    assert problem.place and (problem.place.line, problem.place.column) == (7, 55)
    assert limits.VARIABLE in problem.hint
    monkeypatch.setenv(
        limits.VARIABLE, "700"
    )  # 60 rounds of two operations, each of which counts 5
    archspec.build(spec, device="meta")


@pytest.mark.parametrize("text", ["", "0", "-3", "many", "1.5"])
def test_a_variable_that_says_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.VARIABLE, text)
    assert limits.max_operations() == limits.MAX_OPERATIONS


def test_what_was_worked_out_before_is_the_same_again() -> None:
    x, w = torch.randn(2, 8, 6, 6, device="meta"), torch.randn(6, 6, device="meta")
    operations: dict[str, Callable[[], object]] = {
        "relu": lambda: torch.relu(x),
        "of a view": lambda: torch.relu(x.transpose(1, 2)),
        "of a part": lambda: torch.relu(x[:, ::2]),
        "channels last": lambda: torch.tanh(x.contiguous(memory_format=torch.channels_last)),
        "linear": lambda: x @ w,
        "add": lambda: x + w,
        "sum": lambda: x.sum((1, 3), keepdim=True),
        "integers": lambda: (x > 0).long() * 2,
        "several": lambda: x.max(1),
        "in place": lambda: x.clone().mul_(2),
        "view": lambda: x.view(2, -1).expand(2, -1),
        "convolution": lambda: torch.conv2d(x, torch.empty(4, 8, 3, 3, device="meta")),
    }

    def facts(result: Any) -> Any:
        if isinstance(result, tuple):
            return [facts(part) for part in result]
        assert isinstance(result, torch.Tensor)
        storage = result.untyped_storage().nbytes()
        return result.shape, result.stride(), result.dtype, result.device.type, storage

    bad: list[str] = []
    for name, operation in operations.items():
        usual = facts(operation())
        with MetaRun(nn.ReLU()):
            if (found := [facts(operation()) for _ in range(3)]) != [usual] * 3:
                bad.append(f"{name}: {found}, not {usual}")
    assert not bad


def test_a_factory_without_a_device_makes_its_tensor_on_meta() -> None:
    with MetaRun(nn.ReLU()):
        made = [
            torch.ones(3),
            torch.tensor([1.0, 2.0]),
            torch.arange(5),
            torch.zeros(2).new_ones(4),
        ]
    assert [(tensor.device.type, tensor.numel()) for tensor in made] == [
        ("meta", 3), ("meta", 2), ("meta", 5), ("meta", 4)
    ]  # fmt: skip


def test_another_thread_is_not_counted_and_range_is_given_back() -> None:
    spec = archspec.loads(net("{for: i in range(3), do: [{x: x + 1}]}, {return: x}"))
    model = archspec.build(spec, device="meta")
    names = vars(sys.modules[type(model).__module__])
    with MetaRun(model) as outer:
        with MetaRun(model):
            assert "range" in names
        assert "range" in names
        with ThreadPoolExecutor(1) as elsewhere:
            assert elsewhere.submit(lambda: list(names["range"](3))).result() == [0, 1, 2]
        assert outer.count == 0
        assert list(names["range"](3)) == [0, 1, 2]
        assert outer.count == 3
        with pytest.raises(RunLimitExceeded, match="more than 10,000 operations"):
            outer.add(outer.limit)
    assert "range" not in names


@pytest.mark.parametrize(
    "command", [["build", "--device", "meta"], ["inspect"], ["draw", "--block", "Net"]]
)
def test_an_option_sets_the_limit(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "loop.yaml"
    text = net(f"{{for: i in range(60), do: [{{x: {LONGER}}}]}}, {{return: x}}")
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv(limits.VARIABLE, "1")  # the option wins
    for number, status in (("100", 1), ("700", 0)):
        result = CliRunner().invoke(main, [*command, str(file), "--max-operations", number])
        assert result.exit_code == status, result.output
        assert (f"{file}:7:55: error[E505]" in result.output) == bool(status)
