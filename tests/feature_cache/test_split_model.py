"""The parts against the whole model: outputs, gradients, and weights after some training."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archspec
from archspec.errors import UsageError
from archspec.feature_cache import ActivationCache, Frontier
from tests.feature_cache.models import LENGTHS, bert, frontier_of, gpt, images, resnet, words

Case = tuple[nn.Module, dict[str, Tensor], Frontier]


def case(name: str, plan: Any) -> Case:
    """Made anew for each test, as tests train."""
    match name:
        case "bert":
            model, inputs = bert(plan), words()
            return model, inputs, frontier_of(model, inputs, lengths=LENGTHS, least=0)
        case "gpt":
            model, inputs = gpt(plan), words(mask=False)
            return model, inputs, frontier_of(model, inputs, lengths=LENGTHS)
        case _:
            model, inputs = resnet(plan), images()
            return model, inputs, frontier_of(model, inputs)


@functools.cache
def shared_bert() -> Case:
    """For tests that change nothing."""
    return case("bert", "last-2-and-head")


CASES: list[tuple[str, Any]] = [
    ("bert", "head-only"),
    ("bert", "last-2-and-head"),
    ("bert", "embeddings"),
    ("resnet", "head-only"),
    ("resnet", "last-stage-and-head"),
    ("gpt", ["**", "!transformer.h[-1]", "!transformer.ln_f"]),
]


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return {name: grad.clone() for name, grad in found.items()}


@pytest.mark.parametrize(("name", "plan"), CASES)
def test_the_parts_do_what_the_model_does(name: str, plan: Any) -> None:
    """In training with the same seed, and in evaluation; for other batches too."""
    model, inputs, found = case(name, plan)
    twin = copy.deepcopy(model)
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    for seed, batch in enumerate([inputs, {k: v[:2] for k, v in inputs.items()}]):
        torch.manual_seed(seed)
        expected = twin(**batch)
        torch.manual_seed(seed)
        actual = found.rest(found.frozen(batch), batch)
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)
        expected.square().sum().backward()
        actual.square().sum().backward()
        ours, theirs = gradients(model), gradients(twin)
        assert ours.keys() == theirs.keys() == {n for n, _ in model.named_parameters()} - frozen
        torch.testing.assert_close(ours, theirs)
    for (key, buffer), other in zip(model.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(buffer, other), key  # statistics behind the frontier moved alike
    if plan in ("last-2-and-head", "last-stage-and-head"):
        model.eval()
        twin.eval()
        torch.testing.assert_close(found.rest(found.frozen(inputs), inputs), twin(**inputs))


@pytest.mark.parametrize(("name", "plan"), [CASES[1], CASES[4]])
def test_training_on_kept_values_ends_with_the_same_weights(
    name: str, plan: Any, tmp_path: Any
) -> None:
    model, inputs, found = case(name, plan)
    twin, before = copy.deepcopy(model), [p.clone() for p in model.parameters()]
    count = len(next(iter(inputs.values())))
    lengths: list[int | None] = [*LENGTHS] if name == "bert" else [None] * count
    cache = ActivationCache(tmp_path, "key", found.values, lengths)
    cache.write(range(count), found.frozen(inputs))
    generator = torch.Generator().manual_seed(0)
    ours = torch.optim.AdamW(archspec.trainable_parameters(model), lr=0.01)
    theirs = torch.optim.AdamW(archspec.trainable_parameters(twin), lr=0.01)
    for step in range(4):
        rows = torch.randperm(count, generator=generator)[:2].tolist()
        longest = max(lengths[row] or 0 for row in rows)
        batch = {k: v[rows][:, :longest] if longest else v[rows] for k, v in inputs.items()}
        for optimizer in (ours, theirs):
            torch.manual_seed(step)
            optimizer.zero_grad()
            is_ours = optimizer is ours
            output = found.rest(cache.read(rows), batch) if is_ours else twin(**batch)
            nn.functional.cross_entropy(output, torch.tensor([0, 1])).backward()
            optimizer.step()
    assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    for key, weight in model.state_dict().items():
        torch.testing.assert_close(weight, twin.state_dict()[key], rtol=1e-4, atol=1e-5)


def test_padding_and_neighbours_have_no_say() -> None:
    """Each row computed alone and without padding is the row of the padded batch, to rounding."""
    _, inputs, found = shared_bert()
    (name,) = (value.name for value in found.values)
    batch = found.frozen(inputs)[name]
    for row, length in enumerate(LENGTHS):
        alone = found.frozen({k: v[row : row + 1, :length] for k, v in inputs.items()})[name]
        torch.testing.assert_close(alone[0], batch[row, :length], rtol=1e-5, atol=1e-6)


def test_any_batch_and_length() -> None:
    """Sizes of 1 included, which PyTorch's traces take for something of their own."""
    model, _, found = shared_bert()
    for lengths in ([2], [9, 4, 16], [16], [1, 1], [1]):
        batch = words(lengths, seed=1)
        torch.manual_seed(0)
        expected = model(**batch)
        torch.manual_seed(0)
        torch.testing.assert_close(found.rest(found.frozen(batch), batch), expected)


def test_other_sizes_of_images() -> None:
    model, _, found = case("resnet", "head-only")
    batch = images(1, 48)
    torch.testing.assert_close(found.rest(found.frozen(batch), batch), model(**batch))


def test_attention_stays_fused_and_nothing_is_taken_apart() -> None:
    _, _, found = shared_bert()
    code = found.split.first.rest.code
    assert code.count("aten.scaled_dot_product_attention.default(") == 2
    assert code.count("aten.linear.default(") == 2 * 6 + 2
    assert code.count("aten.layer_norm.default(") == 4


def test_values_have_no_gradient_and_the_weights_are_the_models() -> None:
    model, inputs, found = case("resnet", "head-only")
    values = found.frozen(inputs)
    assert not any(value.requires_grad for value in values.values())
    found.rest(values, inputs).sum().backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {
        "fc.weight",
        "fc.bias",
    }


def test_weights_that_are_replaced_are_seen() -> None:
    model, inputs, found = case("resnet", "head-only")
    head = model.get_submodule("fc")
    head.weight = nn.Parameter(torch.zeros_like(head.weight))  # pyright: ignore[reportArgumentType]
    head.bias = nn.Parameter(torch.ones(3))
    assert torch.equal(found.rest(found.frozen(inputs), inputs), torch.ones(3, 3))


def test_a_frozen_weight_that_is_thawed() -> None:
    model, inputs, found = case("resnet", "head-only")
    archspec.freeze(model, "last-stage-and-head")
    with pytest.raises(UsageError, match=r"'layer4\.0\.conv1\.weight' has been thawed") as caught:
        found.frozen(inputs)
    assert (caught.value.code, caught.value.hint) == ("E801", "look for the frontier again")


def test_inputs_that_do_not_fit() -> None:
    _, inputs, found = shared_bert()
    with pytest.raises(UsageError, match="for the inputs input_ids, attention_mask, not input_ids"):
        found.frozen({"input_ids": inputs["input_ids"]})
    with pytest.raises(UsageError, match=r"the value 'bert.encoder.layer.0.*' is missing"):
        found.rest({}, inputs)
    with pytest.raises(UsageError, match=r"input 'attention_mask' has the shape \[4, 5\]"):
        found.frozen({**inputs, "attention_mask": inputs["attention_mask"][:, :5]})
