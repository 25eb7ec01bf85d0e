"""``archspec predict``: labels or vectors of texts, images and files."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.command import Command, option
from archspec.errors import Problem, UsageError
from archspec.report import option_help
from archspec.report.text import printable
from archspec.tasks import labels_pixels, ranks_names, takes_images

if TYPE_CHECKING:
    from archspec.predicting import Predictor


def _threshold(ctx: click.Context, param: click.Parameter, given: str | None) -> float | str | None:
    if given is None or given == "best":
        return given
    try:
        return float(given)
    except ValueError:
        raise click.BadParameter(f"'{given}' is neither a number nor best") from None


@click.command(cls=Command)
@click.argument("source", metavar="RUN_OR_SPEC", type=options.SpecName())
@options.overrides
@options.run_weights
@options.loading
@options.tokenizer
@options.max_length
@option(
    "--labels",
    metavar="NAME,...",
    show_default="from the run or the spec",
    group="Model",
    help="Names of the classes, in the order of the model's outputs.",
)
@option(
    "--text",
    "texts",
    metavar="TEXT",
    multiple=True,
    group="Inputs",
    help="Text to predict on. Use - to read lines from standard input. May be repeated.",
)
@option(
    "--text-pair",
    "second_texts",
    metavar="TEXT",
    multiple=True,
    group="Inputs",
    help="Second text of a pair, for a model that takes pairs. One for each --text.",
)
@option(
    "--image",
    "images",
    metavar="FILE",
    multiple=True,
    group="Inputs",
    help="Image to predict on. May be repeated.",
)
@option(
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    group="Inputs",
    help="File with rows to predict on. Requires -o. May be repeated.",
)
@option(
    "--column",
    metavar="NAME",
    show_default="detected",
    group="Data",
    help="Column of --file that holds the texts or images.",
)
@option(
    "--pair-column",
    metavar="NAME",
    show_default="detected, unless --column is given",
    group="Data",
    help="Column of --file that holds the second texts of pairs.",
)
@options.header
@options.encoding
@option(
    "--max-bad-rows", metavar="FRACTION", default=1.0, group="Data", help=option_help.MAX_BAD_ROWS
)
@option(
    "-o",
    "--output",
    metavar="PATH",
    group="Output",
    help="File to write the predictions of --file to, or an existing folder for several files. "
    "For segmentation with --image, PNG file to write the mask to, or an existing folder.",
)
@option("--overwrite", is_flag=True, group="Output", help="Overwrite existing output files.")
@option(
    "--probabilities",
    is_flag=True,
    group="Output",
    help="With --file, also write the probability of each class, or of the tag of each word.",
)
@option(
    "--top-k",
    metavar="INT",
    type=click.IntRange(min=1),
    show_default="with --text and --image: 10",
    group="Output",
    help="Number of classes to show with their probabilities, the most probable first. With "
    "--file, write them to the columns top_labels and top_probabilities.",
)
@option(
    "--max-new-tokens",
    metavar="INT",
    type=click.IntRange(min=1),
    show_default="40",
    group="Output",
    help="Maximum number of tokens to add to a prompt, for causal-lm models.",
)
@option(
    "--threshold",
    metavar="FLOAT|best",
    callback=_threshold,
    show_default="0.5 for several classes; otherwise the most probable class",
    group="Output",
    help="Minimum probability at which a class is predicted, for models that predict several "
    "classes; for models of two classes, that of the second. 'best' takes the thresholds in the "
    "report of the run.",
)
@option(
    "--calibrate",
    is_flag=True,
    group="Output",
    help="Divide the logits by the temperature in the report of the run (temperature scaling), so "
    "that probabilities match the accuracy more closely.",
)
@option(
    "--explain",
    is_flag=True,
    group="Output",
    help="With --text, show how much each word contributes to the predicted class.",
)
@options.device("mps")
@option("--batch-size", metavar="INT", default=32, group="Hardware", help="Maximum batch size.")
@option(
    "--optimize",
    is_flag=True,
    group="Hardware",
    help="Use faster variants of the model, such as channels-last or bfloat16, if they give the "
    "same predictions on the first batch.",
)
@options.as_json
def predict(
    source: str,
    texts: tuple[str, ...],
    second_texts: tuple[str, ...],
    images: tuple[str, ...],
    files: tuple[str, ...],
    output: str | None,
    given: tuple[str, ...],
    config: Path | None,
    labels: str | None,
    as_json: bool,
    column: str | None,
    pair_column: str | None,
    probabilities: bool,
    top_k: int | None,
    overwrite: bool,
    max_bad_rows: float,
    header: bool | None,
    encoding: str | None,
    explain: bool,
    **asked: Any,
) -> None:
    """Predict on texts, images or the rows of a file.

    RUN_OR_SPEC is the folder of a run, or a spec together with --weights. Give one of --text,
    --image and --file.

    The rows of a file (CSV, TSV, JSON Lines, JSON, Parquet or Arrow) are written with their
    predictions to -o, as CSV, TSV, JSON Lines or Parquet, depending on its suffix. Rows without a
    prediction are kept, with the reason in the column 'error'.

    \b
    Examples:
      archspec predict runs/topics --text 'a large cat'
      archspec predict runs/topics --text 'a large cat' --top-k 3 --calibrate
      archspec predict runs/topics --text 'a large cat' --explain
      archspec predict runs/nli --text 'a large cat' --text-pair 'It is an animal.'
      archspec predict runs/topics --file in.csv -o out.csv --probabilities
      archspec predict minilm-l6 --weights minilm/ --file texts.jsonl -o vectors.parquet
      archspec predict resnet18 --weights resnet18.pth --image cat.jpg --optimize
    """
    inputs = _inputs(texts, images, files)
    pairs_of_texts = _paired(inputs, texts, second_texts)
    if explain and top_k is not None:
        raise _usage("--explain and --top-k do not go together")
    if explain and (not texts or second_texts):
        raise _usage("--explain goes with --text, and without --text-pair")
    if pair_column is not None and not files:
        raise _usage("--pair-column goes with --file")
    if not files and (header is not None or encoding is not None):
        raise _usage("--header, --no-header and --encoding go with --file")
    if output is not None and not files and not images:
        raise _usage(_OUTPUT)
    pairs = _pairs(files, output, overwrite=overwrite)
    masks = _mask_paths(images, output, overwrite=overwrite)
    predictor = archspec.Predictor(
        run_or_spec(source, given, config), labels=labels.split(",") if labels else None, **asked
    )
    if explain:
        _put_explained(predictor, inputs, as_json=as_json)
        return
    if masks and not labels_pixels(predictor.kind):
        raise _usage(_OUTPUT)
    if not files:
        _put(predictor, pairs_of_texts, top_k, masks, as_json=as_json)
        return
    role = "image" if takes_images(predictor.kind) else "text"
    settings: dict[str, Any] = {role: column, "progress": not as_json, "text_pair": pair_column}
    settings |= {"probabilities": probabilities, "max_bad_rows": max_bad_rows}
    settings |= {"overwrite": overwrite, "top_k": top_k}
    settings |= {"header": header, "encoding": encoding}
    with _ended_by_sigterm():
        reports = [predictor.file(file, out, **settings) for file, out in pairs]
    _tell_optimizations(predictor)
    if as_json:
        found = [report.to_dict() for report in reports]
        terminal.put_json(found[0] if len(found) == 1 else found)
    for report in [] if as_json else reports:
        terminal.put(report.text(terminal.width()))


_OUTPUT = "--file and -o go together, or --image and -o for a model that gives masks"
_WRITTEN = {  # what is read, as
    ".arrow": ".parquet", ".feather": ".parquet", ".json": ".jsonl", ".txt": ".jsonl",
}  # fmt: skip


def _pairs(
    files: tuple[str, ...], output: str | None, *, overwrite: bool
) -> list[tuple[Path, Path]]:
    """Each file with its output; all of them can be read and written, as far as is known."""
    outputs = _outputs(files, output) if files else []
    if not outputs:
        return []
    from archspec.predicting.files import check_pairs

    pairs = [*zip(map(Path, files), outputs, strict=True)]
    check_pairs(pairs, overwrite=overwrite)
    return pairs


def _outputs(files: tuple[str, ...], output: str | None) -> list[Path]:
    if files and output is None:
        raise _usage("--file and -o go together: what is read, and what is written")
    if output is None or len(files) == 1:
        return [Path(output)] if output is not None else []
    if not Path(output).is_dir():
        raise _usage(f"{output}: not a folder, which several files need")
    outputs = [Path(output) / _written(Path(file)) for file in files]
    twice = sorted({out.name for out in outputs if outputs.count(out) > 1})
    if twice:
        raise _usage(f"two files would be written as {printable(twice[0])}")
    return outputs


def _written(file: Path) -> str:
    suffix = _WRITTEN.get(file.suffix.lower())
    return file.name if suffix is None else f"{file.stem}{suffix}"


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the program as Ctrl-C does: what is not whole is removed on the way."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _inputs(texts: tuple[str, ...], images: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    if sum(map(bool, (texts, images, files))) != 1:
        raise _usage("give one of --text, --image and --file")
    if "-" not in texts:
        return [*texts, *images]
    lines = _lines(sys.stdin.buffer.read().decode("utf-8-sig", "replace"))
    return [one for text in texts for one in (lines if text == "-" else [text])]


def _paired(inputs: list[str], texts: tuple[str, ...], second_texts: tuple[str, ...]) -> list[Any]:
    """The inputs, as pairs if there are second texts."""
    if not second_texts:
        return [*inputs]
    if "-" in texts or len(texts) != len(second_texts):
        raise _usage("give one --text-pair for each --text; - cannot be one of them")
    return [*zip(inputs, second_texts, strict=True)]


def _lines(text: str) -> list[str]:
    """Lines by their ends alone: a form feed, as others, may stand in a text."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def run_or_spec(source: str, given: tuple[str, ...], config: Path | None) -> Any:
    """What ``Predictor`` is given: the folder of a run, or a spec with its parameters."""
    from archspec.predicting.model_source import is_folder

    if not is_folder(source):
        return options.load(source, given, config)
    if given or config is not None:
        raise _usage("a run has its own spec: -p and --config are for specs")
    return source


def _put_explained(predictor: Predictor, inputs: list[str], *, as_json: bool) -> None:
    _check_any(inputs)
    found: list[dict[str, Any]] = []
    for i, one in enumerate(inputs):
        explanation = predictor.explain(one)
        _tell_lost_tokens(predictor)
        found.append({"input": one, **explanation.to_dict()})
        if not as_json:
            terminal.put(("\n" if i else "") + explanation.text(terminal.width()))
    if as_json:
        terminal.put_json(found)


def _check_any(inputs: list[Any]) -> None:
    if not inputs:
        raise _usage("standard input has no line")


def _mask_paths(images: tuple[str, ...], output: str | None, *, overwrite: bool) -> list[Path]:
    """Where the mask of each image is written; none without ``-o``."""
    if not images or output is None:
        return []
    if Path(output).is_dir():
        paths = [Path(output) / f"{Path(image).stem}.png" for image in images]
    elif len(images) > 1:
        raise _usage(f"{output}: not a folder, which several images need")
    else:
        paths = [Path(output)]
    if twice := [path.name for path in paths if paths.count(path) > 1]:
        raise _usage(f"two masks would be written as {printable(twice[0])}")
    from archspec.predicting.segmentation_files import check_mask

    for path in paths:
        check_mask(path, [*map(Path, images)], overwrite=overwrite)
    return paths


def _put(
    predictor: Predictor,
    inputs: list[Any],
    top_k: int | None,
    masks: list[Path],
    *,
    as_json: bool,
) -> None:
    _check_any(inputs)
    if top_k is not None and not ranks_names(predictor.kind):
        raise _usage("--top-k is for models that give labels or tokens")
    found: Any = predictor(inputs)
    for path, prediction in zip(masks, found, strict=False):
        prediction.save(path)
    if top_k is not None:
        found = [prediction.top(top_k) for prediction in found]
    _tell_optimizations(predictor)
    _tell_lost_tokens(predictor)
    if predictor.kind == "text-embedding":
        vectors = [
            {"input": one, "embedding": vector}
            for one, vector in zip(inputs, found.tolist(), strict=True)
        ]
        if as_json:
            terminal.put_json(vectors)
        for vector in [] if as_json else vectors:
            terminal.put(json.dumps(vector["embedding"]))
    elif as_json:
        written = [{"mask": str(path)} for path in masks] or [{} for _ in found]
        rows = zip(inputs, found, written, strict=True)
        terminal.put_json([{"input": one, **row.to_dict(), **mask} for one, row, mask in rows])
    elif len(found) == 1:
        terminal.put(found[0].text(terminal.width()))
    else:
        from archspec.predicting.report import prediction_table
        from archspec.report.display import styled_text

        terminal.put(
            styled_text(prediction_table(inputs, found, top=top_k is not None), terminal.width())
        )


def _tell_optimizations(predictor: Predictor) -> None:
    for line in predictor.optimizations:
        terminal.put(printable(line), err=True)


def _tell_lost_tokens(predictor: Predictor) -> None:
    for line in predictor.tokens.notes if predictor.tokens else ():
        terminal.put(line, err=True)


def _usage(message: str) -> UsageError:
    return UsageError(Problem("E801", message))
