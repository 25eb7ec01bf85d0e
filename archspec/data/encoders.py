"""What a spec's ``task`` says about its input, as an encoder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.data.sentence_transformers import sentence_length
from archspec.errors import DataError, Problem, UsageError, listing
from archspec.lang.schema import Contract, TextInput
from archspec.lang.spec import Spec

if TYPE_CHECKING:
    from archspec.data.images import ImageEncoder
    from archspec.data.texts import TextEncoder

_LENGTHS = ("max_position_embeddings", "n_positions")  # params that bound a text's length


def encoder_for(
    spec: Spec,
    *,
    train: bool = False,
    weights: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    max_length: int | None = None,
) -> TextEncoder | ImageEncoder:
    """The encoder that makes a spec's input of texts or images.

    Args:
        spec: a spec with a ``task``.
        train: whether images vary as the task's ``augment`` says.
        weights: the model's file or folder of weights; the tokenizer is looked for beside it, then
            beside the spec.
        tokenizer: a ``tokenizer.json`` or ``vocab.txt``, or its folder, instead.
        max_length: tokens at most; left out: as the task says, and no more than the model takes.

    Raises:
        DataError: E902 if the task does not fit the model's inputs, E905 if the tokenizer cannot
            be found or read, or has more tokens than the model, or if the folder of the weights is
            that of a sentence-transformer that does something else than the spec.
        UsageError: E801, the spec does not say what it is for.
    """
    task = spec.architecture.task
    if task is None:
        hint = "give it a task, as {kind: text-classification}"
        raise UsageError(Problem("E801", f"{spec.name} does not say what it is for", hint=hint))
    if task.kind == "image-classification":
        return _images(spec, train)
    settings = task.text or TextInput.model_validate({})
    path = Path(tokenizer) if tokenizer is not None else _tokenizer(spec, settings, weights)
    beside = None if weights is None else _folder(Path(weights))
    longest = sentence_length(beside, task, spec.name) if beside is not None else None
    length, limit = _length(spec, settings, max_length, longest)
    return _texts(spec, path, length, limit, strict=max_length is not None)


def model_inputs(spec: Spec) -> dict[str, Contract]:
    """What the model's ``forward`` takes: name → contract, in order."""
    return spec.architecture.blocks[spec.architecture.model].inputs


def _images(spec: Spec, train: bool) -> ImageEncoder:
    from archspec.data.images import ImageEncoder
    from archspec.lang.schema import ImageInput

    task = spec.architecture.task
    settings = (task and task.image) or ImageInput.model_validate({})
    required = [name for name, one in model_inputs(spec).items() if not one.optional]
    if len(required) != 1:
        message = f"{spec.name} takes {listing(required) or 'nothing'}, not one image"
        raise DataError(Problem("E902", message))
    shape = model_inputs(spec)[required[0]].shape
    channels = _value(spec, shape[1]) if len(shape) == 4 else None
    if channels is not None and channels != settings.channels:
        message = f"{spec.name} takes images of {channels} channels, its task says"
        raise DataError(Problem("E902", f"{message} {settings.channels}"))
    return ImageEncoder(settings, train, required[0])


def _texts(
    spec: Spec, path: Path, max_length: int, limit: int | None, *, strict: bool
) -> TextEncoder:
    from archspec.data.texts import INPUTS, TextEncoder

    taken = model_inputs(spec)
    wanted = [name for name, one in taken.items() if not one.optional]
    if unknown := [name for name in wanted if name not in INPUTS]:
        hint = f"a tokenizer gives {listing(INPUTS)}"
        raise DataError(Problem("E902", f"no text becomes {spec.name}'s '{unknown[0]}'", hint=hint))
    # Without a mask the padding would count; token types are zeros where they are left out.
    inputs = [name for name in INPUTS if name in wanted or (name in taken and name != INPUTS[2])]
    encoder = TextEncoder(path, max_length, inputs, limit=limit, strict=strict)
    size = _value(spec, taken["input_ids"].below) if "input_ids" in taken else None
    if size is not None:
        encoder.check_size(size)
    return encoder


def _value(spec: Spec, said: int | str | None) -> int | None:
    """A number, or that of a parameter: ``$vocab_size``; None for anything else."""
    value = spec.values.get(said[1:]) if isinstance(said, str) and said[:1] == "$" else said
    return value if isinstance(value, int) else None


def _length(
    spec: Spec, settings: TextInput, asked: int | None, longest: int | None
) -> tuple[int, int | None]:
    """Tokens at which a text is cut, and the most that the model takes; None: it has no bound."""
    limits = [spec.values[name] for name in _LENGTHS if isinstance(spec.values.get(name), int)]
    limit = min((n for n in limits if isinstance(n, int)), default=None)
    if asked is None:
        bounds = (settings.max_length, limit, longest)
        asked = min(one for one in bounds if one is not None)
    if limit is not None and asked > limit:
        message = f"a maximum length of {asked:,}, but {spec.name} has {limit:,} positions"
        raise DataError(Problem("E905", message))
    return asked, limit


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _tokenizer(spec: Spec, settings: TextInput, weights: str | os.PathLike[str] | None) -> Path:
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
