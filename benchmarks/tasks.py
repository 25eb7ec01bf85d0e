"""Every task that can be trained, from the second epoch, against what people use for it.

Texts: ``transformers.Trainer`` with the model that ``transformers`` has for the task, of the sizes
of MiniLM (6 layers of 384), from random weights; for embeddings, which ``Trainer`` has no loss for,
a plain loop over its encoder. Images: a plain loop over PNG images, which Pillow decodes and
torchvision varies. Both sides see batches of the same size with AdamW, warm-up and clipping.
Texts have 64 tokens; where lengths are mixed, half of them have less than 20 and a few 64, and
both sides pad a batch to its longest. For the times see ``benchmarks.epochs``.
"""

from __future__ import annotations

import importlib.util
import io
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import torch
import transformers
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

import archspec
from benchmarks.epochs import (
    BATCH,
    OPTIONS,
    Epochs,
    measured,
    train_in_a_loop,
    train_with_trainer,
)
from benchmarks.pairs import Result

BATCHES, LENGTH = 4, 64
WORDS = 30_000
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CLS, SEP = 2, 3
IGNORED = -100
SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
EXAMPLES = Path(__file__).parent.parent / "examples"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TextTask:
    """How a task's rows look for us and for ``Trainer``.

    Attributes:
        row: of the words of a text (their numbers) and a source of chance: our row, and theirs.
        model: the model of ``transformers``.
        options: for ``archspec.train``.
    """

    name: str
    spec: str
    row: Callable[[list[int], random.Random], tuple[Row, Row]]
    model: Callable[[], Any]
    options: dict[str, Any] = field(default_factory=lambda: dict(SIZES))


def _words(numbers: list[int]) -> list[str]:
    return [f"w{number}" for number in numbers]


def _text(numbers: list[int]) -> str:
    return " ".join(_words(numbers))


def _ids(*texts: list[int]) -> list[int]:
    """Token ids of one text or of a pair, as BERT has them."""
    ids = [CLS]
    for text in texts:
        ids += [len(SPECIAL) + number for number in text] + [SEP]
    return ids


def _halves(words: list[int]) -> tuple[list[int], list[int]]:
    """A pair that is as long as one text: it has one more separator."""
    middle = max(1, len(words) // 3)
    return words[:middle], words[middle:-1]


def _pair(words: list[int], chance: random.Random) -> tuple[Row, Row]:
    first, second = _halves(words)
    label = chance.randrange(3)
    ours = {"text": _text(first), "text_pair": _text(second), "label": f"l{label}"}
    ids = _ids(first, second)
    types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    return ours, {"input_ids": ids, "token_type_ids": types, "labels": label}


def _several(words: list[int], chance: random.Random) -> tuple[Row, Row]:
    labels = [chance.randrange(2) for _ in range(8)]
    named = [f"l{i}" for i, is_set in enumerate(labels) if is_set]
    ours = {"text": _text(words), "labels": named}
    return ours, {"input_ids": _ids(words), "labels": list(map(float, labels))}


def _number(words: list[int], chance: random.Random) -> tuple[Row, Row]:
    score = chance.random()
    return {"text": _text(words), "label": score}, {"input_ids": _ids(words), "labels": score}


def _tags(words: list[int], chance: random.Random) -> tuple[Row, Row]:
    tags = [chance.randrange(2) for _ in words]
    ours = {"tokens": _words(words), "tags": [["O", "B-X"][tag] for tag in tags]}
    return ours, {"input_ids": _ids(words), "labels": [IGNORED, *tags, IGNORED]}


def _answer(words: list[int], chance: random.Random) -> tuple[Row, Row]:
    question, context = _halves(words)
    place = chance.randrange(len(context))
    start = len(_text([*context[:place], 0])) - len("w0")
    ours = {
        "question": _text(question), "context": _text(context),
        "answer": f"w{context[place]}", "answer_start": start,
    }  # fmt: skip
    types = [0] * (len(question) + 2) + [1] * (len(context) + 1)
    token = len(question) + 2 + place
    theirs = {"input_ids": _ids(question, context), "token_type_ids": types}
    return ours, {**theirs, "start_positions": token, "end_positions": token}


def _masked(words: list[int], chance: random.Random) -> tuple[Row, Row]:
    return {"text": _text(words)}, {"input_ids": _ids(words)}


def _continued(words: list[int], chance: random.Random) -> tuple[Row, Row]:
    prompt, answer = _halves(words)
    ids = _ids(prompt, answer)
    labels = [IGNORED] * (len(prompt) + 2) + ids[len(prompt) + 2 :]
    return {"text": _text(prompt), "text_pair": _text(answer)}, {"input_ids": ids, "labels": labels}


def _bert(name: str, **given: Any) -> Callable[[], Any]:
    def model() -> Any:
        sizes = {**SIZES, "num_attention_heads": 12, "attn_implementation": "sdpa"}
        return getattr(transformers, name)(transformers.BertConfig(**sizes, **given))

    return model


def _gpt2() -> Any:
    sizes: Any = {"n_embd": 384, "n_layer": 6, "attn_implementation": "sdpa", "vocab_size": 30_522}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))


TEXTS = [
    TextTask("pairs", "bert", _pair, _bert("BertForSequenceClassification", num_labels=3)),
    TextTask(
        "several labels", "bert", _several,
        _bert(
            "BertForSequenceClassification",
            num_labels=8, problem_type="multi_label_classification",
        ),
    ),
    TextTask(
        "text-regression", "bert", _number, _bert("BertForSequenceClassification", num_labels=1),
        {**SIZES, "task": "text-regression", "num_labels": 1},
    ),
    TextTask(
        "token-classification", "bert-token-classifier", _tags,
        _bert("BertForTokenClassification", num_labels=2),
    ),
    TextTask(
        "question-answering", "bert-question-answering", _answer, _bert("BertForQuestionAnswering"),
    ),
    TextTask("masked-lm", "bert-mlm", _masked, _bert("BertForMaskedLM")),
    TextTask(
        "causal-lm", "gpt2", _continued, _gpt2,
        {
            "n_embd": 384, "n_layer": 6, "vocab_size": 30_522,
            "text_column": "text", "text_pair_column": "text_pair",
        },
    ),
]  # fmt: skip


def results() -> Iterator[Callable[[int], Result]]:
    for is_mixed in (False, True):
        for task in TEXTS:
            yield partial(_texts, task, is_mixed)
        yield partial(_embeddings, is_mixed)
    yield _classified_images
    yield _segmented_images


# ------------------------------------------------------------------------------------------- texts


def _texts(task: TextTask, is_mixed: bool, runs: int) -> Result:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        chance = random.Random(0)
        pairs = [task.row(words, chance) for words in _drawn(chance, is_mixed)]
        _write(folder, [ours for ours, _ in pairs])
        rows = [theirs for _, theirs in pairs]
        collate = _padded if task.name != "masked-lm" else _masking(folder)

        def theirs(epochs: Epochs) -> None:
            train_with_trainer(epochs, folder / "theirs", task.model(), rows, collate)

        ours = partial(_our_texts, folder, task)
        return measured(_result(task.name, is_mixed), ours, theirs, runs)


def _result(name: str, is_mixed: bool) -> Result:
    length = f"6–{LENGTH}" if is_mixed else str(LENGTH)
    return Result(f"{name}, {BATCHES}×{BATCH}×{length}", 0.8 if is_mixed else 1.0)


def _our_texts(
    folder: Path, task: TextTask, epochs: int, callback: archspec.TrainCallback
) -> archspec.Run:
    run = archspec.train(
        task.spec, folder / "data.jsonl", tokenizer=folder / "vocab.txt", epochs=epochs,
        output_dir=folder / "runs", max_length=LENGTH, callbacks=[callback],
        **OPTIONS, **task.options,
    )  # fmt: skip
    assert not any("not read" in note for note in run.facts["data"]["notes"])
    return run


def _drawn(chance: random.Random, is_mixed: bool) -> Iterator[list[int]]:
    """The words of each text, as numbers."""
    for _ in range(BATCHES * BATCH):
        length = min(LENGTH, max(6, round(chance.lognormvariate(3, 0.6)))) if is_mixed else LENGTH
        yield chance.choices(range(WORDS), k=length - 2)


def _write(folder: Path, rows: list[Row]) -> None:
    words = [*SPECIAL, *(f"w{i}" for i in range(WORDS))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _padded(rows: list[Row]) -> dict[str, Tensor]:
    """A batch for ``Trainer``, as long as its longest text."""
    columns = {name: [torch.tensor(row[name]) for row in rows] for name in rows[0]}
    columns["attention_mask"] = [torch.ones_like(ids) for ids in columns["input_ids"]]
    return {name: _stacked(name, values) for name, values in columns.items()}


def _stacked(name: str, values: list[Tensor]) -> Tensor:
    if not values[0].ndim:
        return torch.stack(values)
    return pad_sequence(values, batch_first=True, padding_value=IGNORED if name == "labels" else 0)


def _masking(folder: Path) -> Callable[[list[Row]], dict[str, Tensor]]:
    tokenizer = transformers.BertTokenizer.from_pretrained(folder, local_files_only=True)
    collator = transformers.DataCollatorForLanguageModeling(tokenizer)
    return lambda rows: dict(collator(rows))


def _embeddings(is_mixed: bool, runs: int) -> Result:
    """Pairs of texts, with the other second texts of a batch as negatives."""
    task = TextTask("text-embedding", "minilm-l6", _pair, _bert("BertModel"))
    with tempfile.TemporaryDirectory() as place:
        folder, chance = Path(place), random.Random(0)
        texts = [[*_drawn(chance, is_mixed)] for _ in range(2)]
        pairs = [*zip(*texts, strict=True)]
        _write(
            folder, [{"text": _text(first), "text_pair": _text(second)} for first, second in pairs]
        )
        batches = _batches([tuple(map(_ids, pair)) for pair in pairs], _padded_pair)

        def theirs(epochs: Epochs) -> None:
            train_in_a_loop(epochs, task.model(), batches, _contrast, BATCHES)

        ours = partial(_our_texts, folder, task)
        return measured(_result(task.name, is_mixed), ours, theirs, runs)


def _padded_pair(rows: list[tuple[list[int], ...]]) -> list[dict[str, Tensor]]:
    return [_padded([{"input_ids": ids} for ids in side]) for side in zip(*rows, strict=True)]


def _contrast(model: nn.Module, batch: list[dict[str, Tensor]]) -> Tensor:
    """Cross entropy of the right second text, by cosines times 20."""
    vectors = list[Tensor]()
    for texts in batch:
        mask = texts["attention_mask"][..., None].float()
        states = model(**texts).last_hidden_state
        vectors.append(F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
    cosines = vectors[0] @ vectors[1].T * 20
    return F.cross_entropy(cosines, torch.arange(len(cosines)))


# ------------------------------------------------------------------------------------------ images


def _classified_images(runs: int) -> Result:
    """ResNet-18 on images of 28×28."""
    from torchvision.models import resnet18

    table = parquet.read_table(EXAMPLES / "fashion-mnist" / "train.parquet")
    table = table.slice(0, BATCHES * BATCH)
    images = [(row["image"]["bytes"], row["label"]) for row in table.to_pylist()]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parquet.write_table(table, folder / "train.parquet")

        def theirs(epochs: Epochs) -> None:
            model = resnet18(num_classes=10)
            model.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
            train_in_a_loop(epochs, model, _batches(_Images(images)), _entropy, BATCHES)

        spec = EXAMPLES / "fashion-mnist" / "resnet18-small.yaml"
        ours = partial(_our_images, folder / "runs", spec, folder / "train.parquet")
        return measured(
            Result(f"image-classification, {BATCHES}×{BATCH}×28²", 1.0), ours, theirs, runs
        )


def _segmented_images(runs: int) -> Result:
    """A small U-Net, which is that of archspec on both sides, on images of 28×28 made 32×32."""
    source = EXAMPLES / "fashion-masks"
    loaded = importlib.util.spec_from_file_location("make_masks", source / "make_masks.py")
    assert loaded and loaded.loader
    make_masks = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(make_masks)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_masks.main(folder / "data", BATCHES * BATCH)
        images = [
            (path, path.parent.parent / "masks" / path.name)
            for path in sorted((folder / "data" / "train" / "images").iterdir())
        ]
        spec = archspec.load(source / "unet-small.yaml", n_classes=len(make_masks.CLASSES))

        def theirs(epochs: Epochs) -> None:
            model = archspec.build(spec, device="cpu")
            train_in_a_loop(epochs, model, _batches(_Masks(images)), _entropy, BATCHES)

        ours = partial(_our_images, folder / "runs", spec, folder / "data")
        return measured(
            Result(f"image-segmentation, {BATCHES}×{BATCH}×32²", 1.0), ours, theirs, runs
        )


def _our_images(
    runs: Path, spec: Any, data: Path, epochs: int, callback: archspec.TrainCallback
) -> archspec.Run:
    return archspec.train(
        spec, data, output_dir=runs, epochs=epochs, callbacks=[callback], **OPTIONS
    )


def _entropy(model: nn.Module, batch: list[Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


class _Images(torch.utils.data.Dataset[Any]):
    """PNG files in memory with their classes; half of them are flipped."""

    def __init__(self, images: list[tuple[bytes, int]]) -> None:
        from torchvision.transforms import v2

        self.images = images
        self.transform = v2.Compose([
            v2.RandomHorizontalFlip(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.286], [0.353]),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image, label = self.images[row]
        return self.transform(Image.open(io.BytesIO(image))), label


class _Masks(torch.utils.data.Dataset[Any]):
    """Files of images with those of their masks; half of them are flipped."""

    def __init__(self, images: list[tuple[Path, Path]]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor]:
        from torchvision.transforms import v2
        from torchvision.transforms.v2 import functional

        image, mask = (functional.to_image(Image.open(file)) for file in self.images[row])
        image = functional.resize(image, [32])
        mask = functional.resize(mask, [32], v2.InterpolationMode.NEAREST)
        if torch.rand(()) < 0.5:
            image, mask = functional.hflip(image), functional.hflip(mask)
        pixels = functional.to_dtype(image, torch.float32, scale=True)
        return functional.normalize(pixels, [0.286], [0.353]), mask[0].long()


def _batches(rows: Any, collate: Any = None) -> torch.utils.data.DataLoader[Any]:
    return torch.utils.data.DataLoader(rows, BATCH, shuffle=True, collate_fn=collate)
