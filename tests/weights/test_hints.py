"""What a failed load offers, followed word by word: what is not named in it has been loaded."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import archspec
from archspec import WeightsError, WeightsReport, build, load_weights

SIZES: dict[str, Any] = {
    "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 10,
}  # fmt: skip
NET = """\
archspec: 1
model: Net
blocks:
  Block:
    inputs: {x: [batch, 4, height, width]}
    modules:
      conv: {type: Conv2d, in_channels: 4, out_channels: 4, kernel_size: 3, padding: 1}
      bn: {type: BatchNorm2d, num_features: 4}
  Net:
    inputs: {x: [batch, 4, height, width]}
    modules:
      body: {type: Sequential, items: [{type: Block, repeat: 6}]}
      head: {type: Conv2d, in_channels: 4, out_channels: 2, kernel_size: 1}
"""
OFFERED = re.compile(r"\b(allow_missing|ignore)=(\[.*?\])")
RESIZE = re.compile(r"\bresize=(\{.*?\})")
KEY = re.compile(r"\bkey=('[^']*')")
State = dict[str, torch.Tensor]


def followed(model: nn.Module, path: Path, **options: Any) -> tuple[WeightsReport | None, set[str]]:
    """The report of a load that ended well, if one did, and every pattern that was offered."""
    named: set[str] = set()
    for _ in range(5):
        try:
            return load_weights(model, path, **options), named
        except WeightsError as error:
            hints = [problem.hint for problem in error.problems]
        found = [match for hint in hints for match in OFFERED.findall(hint)]
        keys = [match for hint in hints for match in KEY.findall(hint)]
        if keys:
            options["key"] = ast.literal_eval(keys[0])
        sizes = [ast.literal_eval(match) for hint in hints for match in RESIZE.findall(hint)]
        for offered in sizes:
            named |= offered.keys()
            options["resize"] = options.get("resize", {}) | offered
        for argument, text in found:
            patterns = ast.literal_eval(text)
            named |= set(patterns)
            options[argument] = [*options.get(argument, ()), *patterns]
        if not found and not keys and not sizes:
            return None, named
    raise AssertionError("the hints lead nowhere")


# ---------------------------------------------------------------------------------------- damages


def missing(state: State, rng: random.Random) -> State:
    gone = rng.sample(list(state), rng.choice([1, 2, 5, len(state) // 3, len(state) * 3 // 4]))
    return {name: tensor for name, tensor in state.items() if name not in gone}


def missing_kind(state: State, rng: random.Random) -> State:
    end = rng.choice(["bias", "weight", "running_mean", "num_batches_tracked"])
    return {name: tensor for name, tensor in state.items() if not name.endswith(end)}


def renamed(state: State, rng: random.Random) -> State:
    part = rng.choice([p for name in state for p in name.split(".") if not p.isdecimal()])
    new = part + rng.choice(["_", "2", "x"])
    some = set(rng.sample(list(state), rng.randint(1, len(state))))
    return {
        ".".join(new if p == part and name in some else p for p in name.split(".")): tensor
        for name, tensor in state.items()
    }


def fused(state: State, rng: random.Random) -> State:
    pairs = [
        (a, b) for a in state for b in state
        if a < b and state[a].dim() and state[a].shape[1:] == state[b].shape[1:]
        and a.rpartition(".")[2] == b.rpartition(".")[2]
    ]  # fmt: skip
    state = dict(state)
    for first, second in rng.sample(pairs, 3):
        if first in state and second in state:
            joined = torch.cat([state.pop(first), state.pop(second)])
            state[f"{first.rpartition('.')[0]}_fused.{first.rpartition('.')[2]}"] = joined
    return state


def reshaped(state: State, rng: random.Random) -> State:
    changed = rng.sample(list(state), rng.choice([1, 3]))
    return {n: t.reshape(1, -1) if n in changed else t for n, t in state.items()}


def swapped(state: State, rng: random.Random) -> State:
    first, second = rng.sample(list(state), 2)
    return {**state, first: state[second], second: state[first]}


def larger(state: State, rng: random.Random) -> State:
    name = rng.choice(list(state))
    shape = [size + 1 for size in state[name].shape] or [3]
    return {**state, name: torch.full(shape, 9).to(rng.choice([torch.float32, torch.int64]))}


def prefixed(state: State, rng: random.Random) -> State:
    prefix = rng.choice(["module.", "model.", "_orig_mod.", "bert.", "x.", "cls.", "classifier."])
    some = rng.choice([list(state), rng.sample(list(state), rng.randint(1, len(state)))])
    return {prefix + n if n in some else n: t for n, t in state.items()}


def doubled(state: State, rng: random.Random) -> State:
    head = rng.choice(["ema.", "teacher.", "old."])
    other = {head + name: tensor + 1 for name, tensor in state.items()}
    first = rng.choice(["", "student."])
    return {first + name: tensor for name, tensor in state.items()} | other


def extra(state: State, rng: random.Random) -> State:
    odd = rng.choice(["step", "fc.extra", "a!b", "@Linear", "we*ird.weight", "x[0].y", "", "**"])
    return {**state, odd: torch.zeros(rng.choice([(), (3,), (8, 8)]))}


DAMAGES = [
    missing,
    missing_kind,
    renamed,
    fused,
    reshaped,
    prefixed,
    doubled,
    extra,
    swapped,
    larger,
]


@pytest.fixture(scope="module")
def models() -> list[tuple[nn.Module, State]]:
    found: list[tuple[nn.Module, State]] = []
    for source, sizes in (("bert", SIZES), ("bert-model", SIZES), (archspec.loads(NET), {})):
        model = build(source, device="cpu", seed=0, **sizes)
        torch.manual_seed(1)
        state = {n: (torch.rand(t.shape) + 2).to(t.dtype) for n, t in model.state_dict().items()}
        found.append((model, state))
    return found


def test_followed_hints_load_all_that_they_do_not_name(
    models: list[tuple[nn.Module, State]], tmp_path: Path
) -> None:
    path, wrong = tmp_path / "a.safetensors", list[str]()
    ended = 0
    for seed in range(240):
        rng = random.Random(seed)
        model, state = models[seed % len(models)]
        damage = DAMAGES[seed // len(models) % len(DAMAGES)]
        held = damage(state, rng)
        save_file({name: tensor.clone() for name, tensor in held.items()}, path)
        report, named = followed(model, path)
        if report is None:
            continue
        ended += 1
        for row in report.rows:
            left = row.kind in ("ignored", "unexpected", "unfit", "resized")
            of_file = row.theirs.name if row.theirs else ""
            by_call = any(of_file == p or of_file.startswith(f"{p}.") for p in named)
            if row.kind == "resized":  # offered by the model's name
                by_call = row.ours is not None and row.ours.name in named
            by_layout = any(rule.place for rule in row.rules)
            if left and not by_call and not by_layout:
                wrong.append(f"{seed} {damage.__name__}: {row.kind} {of_file}")
            elif row.ours and row.theirs and row.kind != "resized" and not torch.equal(
                model.state_dict()[row.ours.name], held[of_file].reshape(row.ours.shape)
            ):  # fmt: skip
                wrong.append(f"{seed} {damage.__name__}: {row.ours.name} has other values")
        loaded = [r.ours for r in report.rows if r.ours and r.theirs]
        if 2 * len(loaded) < len(state):
            wrong.append(f"{seed} {damage.__name__}: {len(loaded)} of {len(state)} loaded")
        if any("*" in pattern for pattern in named):
            wrong.append(f"{seed} {damage.__name__}: offered {named}")
    assert not wrong, "\n".join(wrong)
    assert ended > 60


def test_a_tensor_of_another_shape_is_offered_what_can_be(
    models: list[tuple[nn.Module, State]], tmp_path: Path
) -> None:
    model, state = models[0]
    table, dense = "bert.embeddings.word_embeddings.weight", "classifier.weight"
    larger = "the weights are of another size: set the parameters of the spec to theirs; or, to "
    rows: list[tuple[str, torch.Tensor, str]] = [
        (table, torch.ones(21, 8), f"{larger}copy the part that both have: resize={{'{table}': "
         f"'rows'}}, --resize {table}=rows"),
        (table, torch.ones(21, 8, dtype=torch.int64), f"{larger}keep the initial values: "
         f"resize={{'{table}': 'fresh'}}, --resize {table}=fresh"),
        (dense, torch.ones(8, 2), "the file may hold it transposed: see transpose, of layouts"),
    ]  # fmt: skip
    for name, tensor, hint in rows:
        save_file({**state, name: tensor}, tmp_path / "a.safetensors")
        with pytest.raises(WeightsError) as caught:
            load_weights(model, tmp_path / "a.safetensors")
        assert [problem.hint for problem in caught.value.problems] == [hint]


def test_what_the_file_may_hold_otherwise_is_not_left_out(
    models: list[tuple[nn.Module, State]], tmp_path: Path
) -> None:
    """Fused, stacked, renamed and transposed tensors: told, and nothing is offered."""
    model, state = models[0]
    path = tmp_path / "a.safetensors"
    layer = "bert.encoder.layer.0.attention.self"
    three = [f"{layer}.{name}.weight" for name in ("query", "key", "value")]
    fewer = {n: t for n, t in state.items() if n not in three}
    dense = "bert.encoder.layer.0.intermediate.dense.weight"
    rows: list[tuple[State, str]] = [
        (fewer | {f"{layer}.qkv.weight": torch.cat([state[n] for n in three])},
         f"'{layer}.qkv.weight' in the file may hold 3 of shape [8, 8]: see split and stack"),
        (fewer | {f"{layer}.all": torch.stack([state[n] for n in three])},
         f"'{layer}.all' in the file may hold 3 of shape [8, 8]: see split and stack"),
        ({n: t for n, t in state.items() if n != dense}
         | {"a.weight": state[dense][:6], "b.weight": state[dense][6:]},
         f"'{dense}' may stand in the file as 2 of shape [6, 8]: see split and stack"),
        ({n: t for n, t in state.items() if n != dense} | {"conv.kernel": state[dense].T},
         f"'{dense}' may be 'conv.kernel' in the file"),
    ]  # fmt: skip
    for held, note in rows:
        save_file({n: t.contiguous().clone() for n, t in held.items()}, path)
        with pytest.raises(WeightsError) as caught:
            load_weights(model, path)
        hints = "".join(problem.hint for problem in caught.value.problems)
        assert "optional" not in hints and "ignore" not in hints
        assert [one.message for one in caught.value.problems[0].notes] == [note]
        for patterns in ("**", "**.weight"):
            with pytest.raises(WeightsError) as caught:
                load_weights(model, path, allow_missing=patterns, ignore=patterns)
            codes = {problem.code for problem in caught.value.problems}
            assert codes <= {"E602", "E608"} and "E608" in codes
