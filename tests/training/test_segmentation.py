"""image-segmentation: losses of a plain loop, runs that resume to the bit, masks of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

import archspec
from archspec.cli import main
from archspec.data import batches, encoder_for
from archspec.errors import ArchspecError, DataError
from archspec.predicting.segmentation import tile_starts
from archspec.tasks import IGNORED, find
from archspec.tasks.classification import Criterion
from archspec.tasks.image_segmentation import ImageSegmentation
from archspec.training.run_folder import LAST, METRICS, lines_of

SPEC = """
archspec: 1
model: Segmenter
params: {classes: {default: 2, min: 1}, with_aux: true}
dims: {batch: 2, height: 8, width: 8}
blocks:
  Segmenter:
    inputs: {x: [batch, 1, height, width]}
    outputs:
      out: [batch, $classes, height, width]
      aux: {shape: [batch, $classes, height, width], when: $with_aux}
    modules:
      stem: {type: Conv2d, in_channels: 1, out_channels: 4, kernel_size: 3, padding: 1}
      head: {type: Conv2d, in_channels: 4, out_channels: $classes, kernel_size: 3, padding: 1}
      side: {type: Conv2d, in_channels: 4, out_channels: $classes, kernel_size: 1, when: $with_aux}
    forward:
      - h: relu(stem(x))
      - return: {out: head(h), aux: side(h) if with_aux else None}
freeze: {stem: [stem]}
task:
  kind: image-segmentation
  image: {channels: 1, resize: 8, crop: 8, mean: [0.5], std: [0.5], augment: none}
"""
OPTIONS: dict[str, Any] = {
    "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.1,
    "schedule": "constant", "warmup": 0.0, "max_grad_norm": 0.0, "batch_size": 4, "epochs": 2,
    "validation_fraction": 0.2, "device": "cpu", "progress": False,
}  # fmt: skip


def picture(seed: int, size: tuple[int, int] = (8, 8)) -> tuple[np.ndarray, np.ndarray]:
    """An image, and its mask with pixels without a class."""
    generator = np.random.default_rng(seed)
    mask = generator.integers(0, 3, size).astype(np.uint8)
    image = mask * 80 + generator.integers(0, 60, size).astype(np.uint8)
    mask[generator.random(size) < 0.1 * (seed % 4)] = 255
    return image, mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("segmentation")
    (root / "spec.yaml").write_text(SPEC)
    for split, seeds in (("train", range(22)), ("test", range(22, 27))):
        for kind in ("images", "masks"):
            (root / "data" / split / kind).mkdir(parents=True)
        for seed in seeds:
            for kind, values in zip(("images", "masks"), picture(seed), strict=True):
                Image.fromarray(values).save(root / "data" / split / kind / f"{seed:02}.png")
    (root / "data/classes.txt").write_text("sky\nroad\ncar\n")
    return root


def trained(folder: Path, name: str, **given: Any) -> archspec.Run:
    given = {**OPTIONS, "output_dir": folder / "runs", "name": name, **given}
    return archspec.train(folder / "spec.yaml", folder / "data", **given)


@pytest.fixture(scope="module")
def run(folder: Path) -> archspec.Run:
    return trained(folder, "whole", save_interval=0.0)


def steps(run: archspec.Run) -> list[float]:
    lines = lines_of((run.path / METRICS).read_text())
    return [line["loss"] for line in lines if line["kind"] == "step"]


def test_losses_and_scores_are_those_of_a_plain_loop(folder: Path, run: archspec.Run) -> None:
    assert run.labels == ("sky", "road", "car") and run.facts["trainable"] == 166
    log = (run.path / "train.log").read_text()
    aux = "'out' is trained, and 'aux' of the same shape has no part in the loss"
    assert f"{aux}: with_aux=false leaves it out" in log
    spec = archspec.load(run.path / "spec.yaml")
    data = archspec.open_data(folder / "data", task=spec.architecture.task, validation_fraction=0.2)
    model = archspec.build(spec, device="cpu", seed=0)
    untouched = model.state_dict()["side.weight"].clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    encoder, losses = encoder_for(spec), list[float]()
    for epoch in range(2):
        rows = data.splits["train"]
        for batch in batches(rows, encoder, batch_size=4, shuffle=True, epoch=epoch):
            logits = model(batch["x"])["out"]
            images = zip(logits, batch["labels"], strict=True)
            each = [F.cross_entropy(one[None], label[None]) for one, label in images]
            loss = torch.stack(each).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert steps(run) == pytest.approx(losses, abs=1e-6)
    last = archspec.build(run.path / "spec.yaml", device="cpu", weights=run.path / LAST)
    assert torch.equal(last.state_dict()["side.weight"], untouched)
    (batch,) = batches(data.splits["test"], encoder, batch_size=5, shuffle=False)
    with torch.no_grad():
        predicted = run.model(device="cpu")(batch["x"])["out"].argmax(1)
    given: dict[str, Any] = {"num_classes": 3, "ignore_index": IGNORED}
    labels = batch["labels"]
    assert (labels == IGNORED).any() and run.test is not None
    iou = multiclass_jaccard_index(predicted, labels, average="none", **given)
    assert run.test["mean_iou"] == pytest.approx(iou.mean().item())
    accuracy = multiclass_accuracy(predicted, labels, average="micro", **given)
    assert run.test["pixel_accuracy"] == pytest.approx(accuracy.item())
    assert [one["iou"] for one in run.test["classes"]] == pytest.approx(iou.tolist())
    report = json.loads((run.path / "report.json").read_text())
    assert report["splits"]["test"]["mean_iou"] == run.test["mean_iou"]
    assert report["splits"]["validation"]["count"] == 4
    page = (run.path / "report.md").read_text()
    sky = report["splits"]["test"]["classes"][0]
    figures = " | ".join(f"{sky[key]:.4f}" for key in ("iou", "precision", "recall"))
    assert f"| `sky` | {figures} | {sky['pixels']} |" in page
    assert "| split | images | loss | mean IoU | pixel accuracy |" in page
    assert (run.path / "confusion-test.svg").is_file()


def test_runs_resume_to_the_bit(
    folder: Path, run: archspec.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, loss = 0, ImageSegmentation.loss

    def counted(*given: Any) -> Any:
        nonlocal count
        count += torch.is_grad_enabled()
        if count == 7:
            raise RuntimeError("cut")
        return loss(*given)

    with monkeypatch.context() as patched:
        patched.setattr(ImageSegmentation, "loss", counted)
        with pytest.raises(RuntimeError, match="cut"):
            trained(folder, "cut", save_interval=0.0)
    resumed = archspec.resume(folder / "runs/cut", progress=False)
    for file in (LAST, "checkpoints/best.safetensors", "report.json"):
        assert (resumed.path / file).read_bytes() == (run.path / file).read_bytes()


def test_frozen_layers_are_computed_once(folder: Path) -> None:
    found = [
        trained(folder, f"cache-{cache}", freeze="stem", feature_cache=cache, epochs=1)
        for cache in ("auto", "off")
    ]
    assert "done once" in (found[0].path / "train.log").read_text()
    assert steps(found[0]) == pytest.approx(steps(found[1]), abs=1e-6)
    assert found[0].test["mean_iou"] == pytest.approx(found[1].test["mean_iou"])  # pyright: ignore
    assert found[0].verify().keys() == {"best.safetensors", "last.safetensors"}


def test_what_the_loss_of_pixels_is() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 4, 5, 6), torch.randint(0, 4, (3, 5, 6))
    labels[0, :3], labels[2] = IGNORED, IGNORED
    weights = [0.5, 1.0, 2.0, 4.0]

    def mean(each: Tensor) -> float:
        counted = [one[label != IGNORED] for one, label in zip(each, labels, strict=True)]
        return sum(float(one.mean()) for one in counted if len(one))

    options: dict[str, Any] = {"reduction": "none", "ignore_index": IGNORED}
    plain = F.cross_entropy(logits, labels, **options)
    weighted = F.cross_entropy(logits, labels, torch.tensor(weights), **options)
    smooth = F.cross_entropy(logits, labels, label_smoothing=0.1, **options)
    focal = (1 - (-plain).exp()) ** 2 * weighted
    cases: list[tuple[Criterion, Tensor]] = [
        (Criterion(), plain), (Criterion(weights), weighted), (Criterion(smoothing=0.1), smooth),
        (Criterion(weights, gamma=2), focal),
    ]  # fmt: skip
    for criterion, each in cases:
        loss = criterion.dense(logits, labels)
        assert float(loss.sum) == pytest.approx(mean(each), rel=1e-5) and loss.items == 3
    objective = find("image-segmentation")(list("abcd"))
    with pytest.raises(DataError) as caught:
        objective.loss(logits[:, :, :4], {"labels": labels}, 3)
    message = "the model should give [3, 4, 5, 6], not [3, 4, 4, 6]"
    assert caught.value.message == f"the data has 4 classes for each pixel: {message}"
    metrics = objective.metrics(torch.device("cpu"))
    metrics.add(logits, {"labels": labels}, 0)
    assert metrics.scores().figures == {"mean_iou": 0.0, "pixel_accuracy": 0.0}


def test_masks_have_the_size_of_their_images(
    folder: Path, run: archspec.Run, tmp_path: Path
) -> None:
    predictor = archspec.Predictor(run, device="cpu", batch_size=2)
    image, _ = picture(30, (8, 20))
    found = predictor(image)
    assert isinstance(found, archspec.SegmentationPrediction) and found.mask.shape == (8, 20)
    pixels = torch.from_numpy(image.astype(np.float32) / 255 - 0.5)[None, None] / 0.5
    total = torch.zeros(3, 8, 20)
    assert tile_starts(20, 8) == [0, 6, 12]
    with torch.no_grad():
        for left in (0, 6, 12):
            part = slice(left, left + 8)
            total[:, :, part] += predictor.model(pixels[..., part])["out"][0].softmax(0)
    assert np.array_equal(found.mask, total.argmax(0).numpy())
    assert [*found.pixels.values()] == np.bincount(found.mask.ravel(), minlength=3).tolist()
    large = predictor([np.kron(image, np.ones((3, 3), np.uint8)), image[:, :8]])
    assert [one.mask.shape for one in large] == [(24, 60), (8, 8)]
    found.save(tmp_path / "mask.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "mask.png")), found.mask)
    assert found.to_dict() == {"width": 20, "height": 8, "pixels": dict(found.pixels)}
    assert "sky" in str(found) and "pixels" in str(found)
    wrongs: list[dict[str, Any]] = [{"threshold": 0.5}, {"calibrate": True}]
    for given in wrongs:
        with pytest.raises(ArchspecError) as caught:
            archspec.Predictor(run, device="cpu", **given)
        assert caught.value.code == "E801"
    with pytest.raises(DataError) as caught:
        predictor(tmp_path / "none.png")
    assert caught.value.code == "E930"


def test_files_and_commands_give_masks(folder: Path, run: archspec.Run, tmp_path: Path) -> None:
    images = sorted((folder / "data/test/images").iterdir())
    predictor = archspec.Predictor(run, device="cpu", batch_size=2)
    masks = [one.mask for one in predictor(images)]
    for one in images:
        (tmp_path / one.name).write_bytes(one.read_bytes())
    rows = "\n".join(["image", *(one.name for one in images[:2]), "none.png", images[2].name])
    (tmp_path / "in.csv").write_text(rows)
    report = predictor.file(tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert report.columns == ("mask", "pixels_sky", "pixels_road", "pixels_car", "error")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    paths = [line["mask"] for line in lines]
    assert paths == [f"out-masks/00000{i}.png" if i != 3 else None for i in (1, 2, 3, 4)]
    assert lines[2]["error"] == "no image: no such file" and lines[2]["pixels_sky"] is None
    read = [np.asarray(Image.open(tmp_path / path)) for path in paths if path]
    assert all(map(np.array_equal, read, masks[:3]))
    assert report.counts["sky"] == sum(line["pixels_sky"] or 0 for line in lines)
    learned = archspec.open_data(
        tmp_path / "out.jsonl", task=predictor.spec.architecture.task, max_bad_rows=0.5
    )  # what was written can be learned
    assert learned.columns.label == "mask" and len(learned.bad) == 1
    given: dict[str, Any] = {"overwrite": True, "max_bad_rows": 0.0}
    with pytest.raises(DataError, match="1 of the 4 rows"):
        predictor.file(tmp_path / "in.csv", tmp_path / "out.jsonl", **given)
    assert sorted(one.name for one in (tmp_path / "out-masks").iterdir()) == [
        "000001.png", "000002.png", "000004.png",
    ]  # fmt: skip
    (tmp_path / "out-masks/notes.txt").write_text("mine")
    for path, text in ((tmp_path / "out.jsonl", "something else"), (tmp_path / "x.csv", "")):
        if text:
            with pytest.raises(DataError, match=text):
                predictor.file(tmp_path / "in.csv", path, overwrite=True)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]
    both = ["--image", str(images[0]), "--image", str(images[1])]
    (tmp_path / "masks").mkdir()
    said = command(run, *both, "-o", str(tmp_path / "masks"), "--json")
    assert [one["mask"] for one in json.loads(said)] == [
        str(tmp_path / "masks" / one.name) for one in images[:2]
    ]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / images[0].name)), masks[0])
    assert "sky" in command(run, *both)
    wrongs: list[tuple[list[str], str]] = [
        ([*both, "-o", str(tmp_path / "masks")], "it is there already"),
        ([*both, "-o", str(tmp_path / "no.png")], "not a folder, which several images need"),
        ([*both[:2], "-o", str(images[0])], "this is the image that is read"),
        ([*both[:2], "-o", str(tmp_path / "a.jpg")], "masks are written as .png"),
        ([*both, "--top-k", "2"], "--top-k is for models that give labels or tokens"),
    ]
    for words, message in wrongs:
        done = CliRunner().invoke(main, ["predict", str(run.path), *words, "--device", "cpu"])
        assert done.exit_code and message in done.stderr, (words, done.stderr)


def command(run: archspec.Run, *words: str) -> str:
    done = CliRunner().invoke(main, ["predict", str(run.path), *words, "--device", "cpu"])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_a_model_of_another_size_is_refused(folder: Path) -> None:
    half = SPEC.replace("head(h)", "'head(max_pool2d(h, 2))'").replace(
        "out: [batch, $classes, height, width]", "out: [batch, $classes, rows, columns]"
    )
    (folder / "half.yaml").write_text(half)
    with pytest.raises(DataError) as caught:
        archspec.Predictor(archspec.build(folder / "half.yaml", device="cpu", seed=0))
    assert caught.value.message == "half gives 4 × 4 pixels of an image of 8 × 8"
    with pytest.raises(DataError) as caught:
        archspec.train(folder / "half.yaml", folder / "data", output_dir=folder / "runs", **OPTIONS)
    assert caught.value.code == "E906" and not (folder / "runs/half").exists()
