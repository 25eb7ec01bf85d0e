"""Makes the encoder that a spec's ``task`` describes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.data.sentence_transformers import sentence_length
from archspec.errors import DataError, Problem, UsageError, listing
from archspec.lang.schema import Contract, TextInput
from archspec.lang.spec import Spec
from archspec.tasks import takes_images

if TYPE_CHECKING:
    from archspec.data.images import ImageEncoder
    from archspec.data.texts import TextEncoder

_LENGTH_PARAMS = ("max_position_embeddings", "n_positions")  # params that bound a text's length


def encoder_for(
    spec: Spec,
    *,
    train: bool = False,
    weights: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    max_length: int | None = None,
) -> TextEncoder | ImageEncoder:
    """The encoder that turns texts or images into a spec's input.

    Args:
        spec: a spec with a ``task``.
        train: whether images are augmented as the task's ``augment`` says.
        weights: the model's file or folder of weights; the tokenizer is searched beside it, then
            beside the spec.
        tokenizer: a ``tokenizer.json`` or ``vocab.txt``, or its folder, instead.
        max_length: maximum number of tokens. Default: the task's, limited to the model's.

    Raises:
        DataError: E902 if the task does not fit the model's inputs, E905 if the tokenizer cannot
            be found or read, or has more tokens than the model, or if the folder of the weights
            holds a sentence-transformer that works differently from the spec.
        UsageError: E801, the spec does not say what it is for.
    """
    task = spec.architecture.task
    if task is None:
        hint = "give it a task, as {kind: text-classification}"
        raise UsageError(Problem("E801", f"{spec.name} does not say what it is for", hint=hint))
    if takes_images(task.kind):
        return _image_encoder(spec, train)
    settings = task.text or TextInput.model_validate({})
    path = Path(tokenizer) if tokenizer is not None else _find_tokenizer(spec, settings, weights)
    folder = None if weights is None else _folder(Path(weights))
    tokenizer_limit = sentence_length(folder, task, spec.name) if folder is not None else None
    length, limit = _max_length(spec, settings, max_length, tokenizer_limit)
    return _text_encoder(spec, path, length, limit, strict=max_length is not None)


def model_inputs(spec: Spec) -> dict[str, Contract]:
    """What the model's ``forward`` takes: name → contract, in order."""
    return spec.architecture.blocks[spec.architecture.model].inputs


def _image_encoder(spec: Spec, train: bool) -> ImageEncoder:
    from archspec.data.images import ImageEncoder
    from archspec.lang.schema import ImageInput

    task = spec.architecture.task
    settings = (task and task.image) or ImageInput.model_validate({})
    required = [name for name, one in model_inputs(spec).items() if not one.optional]
    if len(required) != 1:
        message = f"{spec.name} takes {listing(required) or 'nothing'}, not one image"
        raise DataError(Problem("E902", message))
    shape = model_inputs(spec)[required[0]].sizes
    channels = _size_value(spec, shape[1]) if len(shape) == 4 else None
    if channels is not None and channels != settings.channels:
        message = f"{spec.name} takes images of {channels} channels, its task says"
        raise DataError(Problem("E902", f"{message} {settings.channels}"))
    return ImageEncoder(settings, train, required[0])


def _text_encoder(
    spec: Spec, path: Path, max_length: int, limit: int | None, *, strict: bool
) -> TextEncoder:
    from archspec.data.texts import INPUTS, TextEncoder

    contracts = model_inputs(spec)
    required = [name for name, one in contracts.items() if not one.may_be_left_out]
    if unknown := [name for name in required if name not in INPUTS]:
        hint = f"a tokenizer gives {listing(INPUTS)}"
        raise DataError(Problem("E902", f"no text becomes {spec.name}'s '{unknown[0]}'", hint=hint))
    # Without a mask the padding would count, unless it is behind all that a token sees; token types
    # are zeros but of pairs.
    task = spec.architecture.task
    left_out = INPUTS[1:] if task is not None and task.kind == "causal-lm" else INPUTS[2:]
    inputs = [
        name for name in INPUTS if name in required or (name in contracts and name not in left_out)
    ]
    has_types = INPUTS[2] in contracts
    encoder = TextEncoder(path, max_length, inputs, has_types=has_types, limit=limit, strict=strict)
    size = _size_value(spec, contracts["input_ids"].below) if "input_ids" in contracts else None
    if size is not None:
        encoder.check_size(size)
    return encoder


def _size_value(spec: Spec, size: int | str | None) -> int | None:
    """A number, or the value of a parameter (``$vocab_size``); None for anything else."""
    value = spec.values.get(size[1:]) if isinstance(size, str) and size[:1] == "$" else size
    return value if isinstance(value, int) else None


def _max_length(
    spec: Spec, settings: TextInput, max_length: int | None, tokenizer_limit: int | None
) -> tuple[int, int | None]:
    """The length at which texts are cut, and the model's limit (None if it has none)."""
    limits = [
        spec.values[name] for name in _LENGTH_PARAMS if isinstance(spec.values.get(name), int)
    ]
    limit = min((n for n in limits if isinstance(n, int)), default=None)
    if max_length is None:
        bounds = (settings.max_length, limit, tokenizer_limit)
        max_length = min(one for one in bounds if one is not None)
    if limit is not None and max_length > limit:
        message = f"a maximum length of {max_length:,}, but {spec.name} has {limit:,} positions"
        raise DataError(Problem("E905", message))
    return max_length, limit


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _find_tokenizer(
    spec: Spec, settings: TextInput, weights: str | os.PathLike[str] | None
) -> Path:
    """The tokenizer's file: beside the weights, or beside the spec or one of its parents."""
    name = Path(settings.tokenizer)
    if name.is_absolute() or ".." in name.parts:
        message = f"tokenizer '{name}' leaves the spec's folder"
        raise DataError(Problem("E905", message, hint="give its path with tokenizer="))
    beside = [] if weights is None else [Path(weights)]
    folders = [_folder(path) for path in beside]
    folders += [file.parent for file in spec.document.files]
    names = [name, Path("vocab.txt")] if name.name == "tokenizer.json" else [name]
    for folder in dict.fromkeys(folders):
        for file in (folder / one for one in names):
            if file.is_file():
                return file
    where = "the spec" if weights is None else f"{weights} and the spec"
    hint = "give its path with tokenizer="
    raise DataError(Problem("E905", f"{spec.name}: no {name} beside {where}", hint=hint))
