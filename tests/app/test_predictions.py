"""What the tab Predict gets: plain data, models that stay, and nothing of outside the folder."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import archspec
from archspec.errors import ArchspecError, DataError, UsageError
from archspec_app import answers
from archspec_app.example_inputs import examples_of
from archspec_app.predictions import Models, RunSource, SpecSource

HERE = Path(__file__).parent
TRAINING = HERE.parent / "training"
TINY = TRAINING / "tiny.yaml"
IMAGES = """
archspec: 1
model: Net
params: {num_classes: 30}
dims: {batch: 2, height: 8, width: 8}
blocks:
  Net:
    inputs: {x: [batch, 3, height, width]}
    modules:
      conv: {type: Conv2d, in_channels: 3, out_channels: 4, kernel_size: 3}
      fc: {type: Linear, in_features: 4, out_features: $num_classes}
    forward:
      - return: fc(mean(relu(conv(x)), [2, 3]))
task: {kind: image-classification, image: {resize: 8, crop: 8}}
"""


PIXELS = """
archspec: 1
model: Net
dims: {batch: 2, height: 8, width: 8}
blocks:
  Net:
    inputs: {x: [batch, 3, height, width]}
    modules:
      conv: {type: Conv2d, in_channels: 3, out_channels: 3, kernel_size: 3, padding: 1}
    forward: [{return: conv(x)}]
task: {kind: image-segmentation, image: {resize: 8, crop: 8}, labels: [sky, road, car]}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and with weights for specs."""
    folder = tmp_path_factory.mktemp("page")
    run = archspec.train(
        TINY,
        TRAINING / "tiny.csv",
        output_dir=folder / "runs",
        epochs=1,
        progress=False,
        device="cpu",
    )
    run.path.rename(folder / "runs" / "first")
    shutil.copytree(folder / "runs" / "first", folder / "runs" / "unfinished")
    (folder / "runs" / "unfinished" / "checkpoints" / "best.safetensors").unlink()
    for name in ("a", "b"):
        (folder / name).mkdir()
        model = archspec.build(TINY, device="cpu", seed=ord(name))
        archspec.save_weights(model, folder / name / "model.safetensors")
        shutil.copy(TRAINING / "vocab.txt", folder / name)
    archspec.save_weights(
        archspec.build(archspec.loads(IMAGES), device="cpu"), folder / "net.safetensors"
    )
    return folder


@pytest.fixture
def models(trained: Path) -> Models:
    return Models(trained, device="cpu")


def tiny(name: str, **params: Any) -> SpecSource:
    return SpecSource(archspec.load(TINY, **params), name)


def png(width: int = 9, height: int = 8) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (width, height), "red").save(stream, "png")
    return stream.getvalue()


RUN = RunSource("runs/first")
NET = SpecSource(archspec.loads(IMAGES), "net.safetensors")


def test_what_can_be_predicted_with(models: Models) -> None:
    found = models.sources()
    assert [(one["name"], one["status"], one["classes"]) for one in found["runs"]] == [
        ("runs/first", "finished", 2)
    ]
    assert found["runs"][0]["best"]["epoch"] == 1
    assert found["runs"][0]["kind"] == "text-classification"
    assert [one["name"] for one in found["weights"]] == ["a", "b", "net.safetensors"]
    assert all(one["bytes"] > 100 for one in found["weights"])
    assert str(models.folder) not in json.dumps(found)


def test_a_text_gets_its_labels_and_the_words_they_come_from(models: Models, trained: Path) -> None:
    text = "  a <b>warm</b> 😀film, so good\u202e"
    found = json.loads(json.dumps(models.predict_text(RUN, text, explain=True)))
    plain = archspec.Predictor(trained / "runs" / "first", device="cpu")(text)
    assert found["kind"] == "text-classification" and found["rest"] is None
    assert found["labels"][0]["label"] == plain.label
    assert found["labels"][0]["probability"] == pytest.approx(plain.probability, abs=1e-6)
    assert sum(one["probability"] for one in found["labels"]) == pytest.approx(1)
    why = found["saliency"]
    assert "".join(one["text"] for one in why["segments"]) == text
    scores = [one["score"] for one in why["segments"] if one["score"] is not None]
    assert sum(scores) == pytest.approx(sum(one["score"] for one in why["tokens"]))
    assert sum(scores) + why["gap"] == pytest.approx(why["logit"] - why["baseline"])
    shares = [abs(one["share"]) for one in why["segments"] if one["score"] is not None]
    assert max(shares) == 1 and why["label"] == plain.label
    assert why["unread"] > 0  # the spec reads 12 tokens
    assert models.predict_text(RUN, text)["saliency"] is None


def test_many_labels_are_cut_to_the_most_probable(models: Models) -> None:
    found = models.predict_image(NET, png())
    shares = [one["probability"] for one in found["labels"]]
    assert len(shares) == 20 and shares == sorted(shares, reverse=True)
    assert found["rest"]["count"] == 10
    assert sum(shares) + found["rest"]["probability"] == pytest.approx(1)


def test_an_embedding_is_told_by_its_norm_and_its_first_numbers(trained: Path) -> None:
    text = TINY.read_text("utf-8").replace("text-classification", "text-embedding")
    spec = archspec.loads(text)
    found = Models(trained, device="cpu").predict_text(SpecSource(spec, "a"), "sad", explain=True)
    vector = archspec.Predictor(spec, weights=trained / "a", device="cpu")("sad")
    assert found == {
        "kind": "text-embedding",
        "size": 2,
        "norm": pytest.approx(float(vector.norm())),
        "first": pytest.approx(vector.tolist()),
        "truncated": None,
    }
    long = Models(trained, device="cpu").predict_text(SpecSource(spec, "a"), "sad " * 20)
    assert long["truncated"] == {"tokens": 22, "max_length": 12}


def test_several_texts_get_an_answer_each(models: Models, trained: Path) -> None:
    texts = ["so good", " ", "a <b>hard</b> film", "so good"]
    found = models.predict_rows(RUN, [(text, "") for text in texts])["rows"]
    assert [*found[1]] == ["error"] and "no text" in found[1]["error"]
    predictor = archspec.Predictor(trained / "runs" / "first", device="cpu")
    for i in (0, 2, 3):
        one = predictor(texts[i])
        assert found[i]["label"] == one.label
        assert found[i]["probability"] == pytest.approx(one.probability, abs=1e-5)
    for wrong in ([], [("a", "")] * 21):
        with pytest.raises(UsageError, match="1 to 20 texts"):
            models.predict_rows(RUN, wrong)
    with pytest.raises(UsageError, match="takes images, not text"):
        models.predict_rows(NET, [("a", "")])
    with pytest.raises(DataError, match="a text of 100,001 characters"):
        models.predict_rows(RUN, [("a" * 100_001, "")])


def test_the_texts_of_a_file(models: Models, trained: Path) -> None:
    rows = [f"<i>text</i> {i}" for i in range(300)]
    (trained / "texts.csv").write_text("text,other\n" + "".join(f"{one},1\n" for one in rows))
    found = models.inputs_of_file(RUN, "texts.csv")
    assert [one for (one,) in found["inputs"]] == rows[:200]
    assert (found["total"], found["columns"]) == (300, ("text",))
    for name in ("../x.csv", "nothing.csv", "a/vocab.pdf"):
        with pytest.raises(ArchspecError) as caught:
            models.inputs_of_file(RUN, name)
        assert str(models.folder) not in str(caught.value)


def test_the_nearest_texts_of_a_file(models: Models, trained: Path) -> None:
    spec = archspec.loads(TINY.read_text("utf-8").replace("text-classification", "text-embedding"))
    source = SpecSource(spec, "a")
    (trained / "near.csv").write_text("text\nso sad\nso good\na film\n")
    found = models.nearest(source, "so good", "near.csv")
    assert (found["hits"][0]["row"], found["hits"][0]["text"]) == (2, "so good")
    assert found["hits"][0]["score"] == pytest.approx(1) and found["rows"] == 3
    with pytest.raises(UsageError, match="no vectors"):
        models.nearest(RUN, "so good", "near.csv")
    with pytest.raises(UsageError, match="gives no labels"):
        models.predict_rows(source, [("a", "")])


def test_a_mask_is_drawn_over_the_image(trained: Path) -> None:
    spec = archspec.loads(PIXELS, name="pixels")
    archspec.save_weights(archspec.build(spec, device="cpu"), trained / "pixels.safetensors")
    models = Models(trained, device="cpu")
    image = png(30, 20)
    found = models.predict_image(SpecSource(spec, "pixels.safetensors"), image)["mask"]
    expected = archspec.Predictor(
        spec, weights=trained / "pixels.safetensors", device="cpu"
    )(image)  # fmt: skip
    drawn = np.asarray(Image.open(BytesIO(base64.b64decode(found["image"]))))
    assert drawn.shape == (20, 30, 3)
    colors = np.array(answers.COLORS, dtype=np.uint16)[expected.mask]
    assert (drawn == (np.array([255, 0, 0], dtype=np.uint16) + colors) // 2).all()
    shares = {one["label"]: one["share"] for one in found["classes"]}
    counts = {name: count / 600 for name, count in expected.pixels.items() if count}
    assert shares == counts and sum(shares.values()) == pytest.approx(1)
    assert [*shares.values()] == sorted(shares.values(), reverse=True)


def test_examples_come_from_the_data_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    data = shutil.copy(TRAINING / "tiny.csv", folder / "tiny.csv")
    run = archspec.train(
        TINY, data, output_dir=folder / "runs", name="one", epochs=1, progress=False, device="cpu"
    )
    found = Models(folder, device="cpu").examples("runs/one")
    rows = dict(line.rsplit(",", 1) for line in Path(data).read_text().splitlines()[1:])
    assert [one["label"] for one in found] == ["yes", "no", "yes", "no", "yes", "no"]
    assert all(rows[one["text"]] == one["label"] and one["second"] == "" for one in found)
    facts = json.loads((run.path / "run.json").read_text())
    outside = tmp_path / "outside.csv"
    shutil.copy(data, outside)
    for source in (str(outside), "../outside.csv", "nothing.csv", ["a"], None, 3):
        facts["data"]["source"] = source
        changed = archspec.Run(run.path, run.status, facts, ())
        assert examples_of(changed, folder) == []


def test_examples_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    for name in ("train/a", "test/b", "test/c"):
        (folder / "images" / name).mkdir(parents=True)
        (folder / "images" / name / "1.png").write_bytes(png())
    facts = {"data": {"source": "images", "columns": {"image": "image", "label": "label"}}}
    run = archspec.Run(folder, "finished", facts, ())
    found = examples_of(run, folder)
    assert [one["label"] for one in found] == ["b", "c"]
    assert all(base64.b64decode(one["image"]) == png() for one in found)
    # Paths in a table may lead anywhere.
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "table.csv").write_text("image,label\n../secret.png,x\nimages/test/b/1.png,y\n")
    facts["data"]["source"] = "table.csv"
    assert [one["label"] for one in examples_of(run, folder)] == ["y"]


# ------------------------------------------------------------------------------------------ memory


def test_the_last_models_stay_loaded(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    real = archspec.Predictor

    def counting(*args: Any, **given: Any) -> archspec.Predictor:
        loaded.append(args[0])
        return real(*args, **given)

    monkeypatch.setattr(archspec, "Predictor", counting)
    for source in (RUN, tiny("a"), RUN, tiny("a")):
        models.predict_text(source, "sad")
    assert (len(loaded), len(models)) == (2, 2)
    models.predict_text(tiny("b"), "sad")  # the run was used longest ago
    models.predict_text(tiny("a"), "sad")
    assert (len(loaded), len(models)) == (3, 2)
    models.predict_text(tiny("a", p=0.2), "sad")  # another value of a parameter
    assert (len(loaded), len(models)) == (4, 2)
    weights = models.folder / "a" / "model.safetensors"
    later = weights.stat().st_mtime + 10
    os.utime(weights, (later, later))
    models.predict_text(tiny("a"), "sad")
    assert len(loaded) == 5


def test_memory_is_bounded(trained: Path) -> None:
    size = sum(p.numel() * 4 for p in archspec.build(TINY, device="meta").parameters())
    models = Models(trained, device="cpu", max_bytes=size + 1)
    models.predict_text(tiny("a"), "sad")
    models.predict_text(tiny("b"), "sad")
    assert len(models) == 1
    with pytest.raises(UsageError, match=f"{size:,} bytes of tensors; the maximum") as caught:
        Models(trained, device="cpu", max_bytes=100).predict_text(tiny("a"), "sad")
    assert caught.value.code == "E801"


def test_several_visitors_at_once(models: Models) -> None:
    alone = {name: models.predict_text(tiny(name), "a warm film", explain=True) for name in "ab"}
    fresh, start = Models(models.folder, device="cpu", max_models=1), threading.Barrier(6)

    def ask(i: int) -> None:
        start.wait()
        name = "ab"[i % 2]
        assert fresh.predict_text(tiny(name), "a warm film", explain=True) == alone[name]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    assert len(fresh) == 1


# ---------------------------------------------------------------------------------------- mistakes


OUTSIDE: list[Any] = [
    "../outside", "/etc/passwd", "runs/../..", "", "a\0b", "x" * 5_000, "\ud800", "nowhere",
    "linked", "runs/linked", None, 3, ["a"],
]  # fmt: skip


def test_nothing_outside_is_read(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    shutil.copytree(trained, folder)
    (tmp_path / "outside").mkdir()
    shutil.copy(folder / "a" / "model.safetensors", tmp_path / "outside")
    for place in (folder / "linked", folder / "runs" / "linked"):
        place.symlink_to(tmp_path / "outside", target_is_directory=True)
    models = Models(folder, device="cpu")
    for source in (source for name in OUTSIDE for source in (RunSource(name), tiny(name))):
        with pytest.raises(UsageError) as caught:
            models.predict_text(source, "sad")
        assert caught.value.code == "E801" and str(folder) not in str(caught.value)
    assert "linked" not in json.dumps(models.sources())


def test_a_link_among_the_weights_may_not_lead_out(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    shutil.copytree(trained, folder)
    for place in (folder / "a" / "model.safetensors", folder / "runs" / "first" / "spec.yaml"):
        place.rename(tmp_path / place.name)
        place.symlink_to(tmp_path / place.name)
    models = Models(folder, device="cpu")
    for source in (tiny("a"), RUN):
        with pytest.raises(UsageError, match="a link that leads out of the folder") as caught:
            models.predict_text(source, "sad")
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text", "code", "message"),
    [
        (RUN, " ", "E930", "no text"),
        (RUN, "a\0", "E930", "a NUL character"),
        (RUN, 3, "E930", "no text"),
        (RUN, "a" * 100_001, "E930", "a text of 100,001 characters; the maximum is 100,000"),
        (NET, "sad", "E801", "spec takes images, not text"),
        ("runs/first", "sad", "E801", "neither a run nor a spec with weights"),
        (RunSource("a"), "sad", "E920", "a: no run"),
        (SpecSource(archspec.load(TINY), "a/vocab.txt"), "sad", "E601", None),
        (SpecSource(archspec.load(TINY), "a", key="ema"), "sad", "E601", None),
        (SpecSource(archspec.load(TINY, width=3), "a"), "sad", "E603", None),
    ],
)
def test_mistakes_are_told(
    models: Models, source: Any, text: Any, code: str, message: str | None
) -> None:
    with pytest.raises(ArchspecError) as caught:
        models.predict_text(source, text, explain=True)
    assert caught.value.code == code
    assert message is None or caught.value.message == message
    assert str(models.folder) not in str(caught.value)


def test_images_that_are_refused(models: Models) -> None:
    asked: list[tuple[Any, str]] = [
        (b"", "no image"),
        (b"GIF89a", "unreadable image"),
        (b"x" * 20_000_001, "a file of 20,000,001 bytes; the maximum is 20,000,000"),
        (png(10_000, 6_000), "too large image: 10,000 × 6,000 pixels"),
    ]
    for image, message in asked:
        with pytest.raises(DataError, match="E930") as caught:
            models.predict_image(NET, image)
        assert caught.value.message.startswith(message)
    with pytest.raises(UsageError, match="takes text, not images"):
        models.predict_image(RUN, png())


def test_a_text_too_long_to_be_explained_is_predicted_on(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_EXPLAINED_TOKENS", 5)
    found = models.predict_text(RUN, "so very good and nice", explain=True)
    assert found["saliency"] == {"too_long": 7} and len(found["labels"]) == 2
