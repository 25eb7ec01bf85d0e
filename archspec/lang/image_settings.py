"""How a Hugging Face model's folder says that images are prepared: ``preprocessor_config.json``."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from archspec.errors import Problem, SpecError, shown
from archspec.lang import json_file
from archspec.lang.json_file import JsonFile
from archspec.lang.schema import ImageInput

FILE = "preprocessor_config.json"
_RESAMPLING = {2: "bilinear", 3: "bicubic"}  # as Pillow counts
_NOT_CROPPED = 384  # pixels from which on ConvNeXt resizes both sides
_SHARES = {"ConvNext": 224 / 256}  # crop_pct of files that have none
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
_KIND = re.compile("(.*)(ImageProcessor(Fast|Pil)?|FeatureExtractor)")
# Processors for which a size of one number is that of the shorter side.
_KEEP_SHAPE = frozenset("Bit CLIP ConvNext MobileNetV1 MobileNetV2 MobileViT".split())
_RESIZE_OTHERWISE = frozenset(["Levit", "PoolFormer"])
_SIDES = {"shortest_edge", "height", "width"}


def read(folder: Path, usual: ImageInput) -> ImageInput:
    """The settings of a folder; the usual ones where it does not say otherwise.

    Raises:
        SpecError: E106 if the file cannot be read, E215 for settings that no spec can say.
    """
    path = folder / FILE
    if not path.is_file():
        return usual
    file = json_file.read(path)
    file = replace(file, data={key: v for key, v in file.data.items() if v is not None})
    _check_steps(file)
    given = _resizing(file) | _normalising(file)
    try:
        image = ImageInput.model_validate({**usual.model_dump(), **given})
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        raise _refused(file, (), f"no image has the {key} {shown(given.get(key))}") from None
    for values, least in ((image.mean, -1e6), (image.std, 0)):
        if len(values) != image.channels or not all(least < value < 1e6 for value in values):
            raise _refused(file, (), f"{shown(values)} are not {image.channels} numbers to use")
    return image


def _check_steps(file: JsonFile) -> None:
    """Whether images are resized, and nothing else is done to them than a spec can say."""
    if file.data.get("do_resize") is False:
        raise _refused(file, ("do_resize",), "images are not resized: do_resize is false")
    if (kind := _kind(file)) in _RESIZE_OTHERWISE:
        raise _refused(file, (), f"images of {kind} are resized by a rule of their own")
    for key, value in file.data.items():
        if key.startswith("do_") and value is True and key not in _STEPS:
            raise _refused(file, (key,), f"{key} is true")


def _kind(file: JsonFile) -> str:
    """Whose processor the file is of, such as ``ConvNext``; "" if it does not say."""
    named = file.data.get("image_processor_type", file.data.get("feature_extractor_type"))
    found = _KIND.fullmatch(named) if isinstance(named, str) else None
    return found[1] if found else ""


def _resizing(file: JsonFile) -> dict[str, Any]:
    """To which size images are made smaller, and which part of them is taken."""
    given: dict[str, Any] = {}
    if (number := file.data.get("resample")) is not None:
        if type(number) is not int or number not in _RESAMPLING:
            raise _refused(file, ("resample",), f"resample is {shown(number)}, not 2 or 3")
        given["interpolation"] = _RESAMPLING[number]
    size = _side(file, "size")
    crop = _side(file, "crop_size") if file.data.get("do_center_crop") else None
    if size is None:
        return given
    kind = _kind(file)
    keeps_shape = kind in _KEEP_SHAPE
    if isinstance(file.data["size"], dict):
        keeps_shape = cast("dict[str, Any]", file.data["size"]).get("shortest_edge") is not None
    given |= {"resize": size, "crop": size if crop is None else crop, "stretch": not keeps_shape}
    share = file.data.get("crop_pct", _SHARES.get(kind))
    if type(share) in (int, float) and 0 < share <= 1:  # ConvNeXt's: large images are not cropped
        is_cropped = size < _NOT_CROPPED
        given["resize"] = int(size / share) if is_cropped else size
        given["stretch"] = not is_cropped
    return given


def _side(file: JsonFile, key: str) -> int | None:
    """The side of a square, or the shorter side of an image."""
    value: object = file.data.get(key)
    sides: list[object] = [value]
    if isinstance(value, dict):
        said = {key: s for key, s in cast("dict[str, Any]", value).items() if s is not None}
        sides = list(said.values()) if said.keys() <= _SIDES else []  # no longest_edge or such
    if value is None or (sides and all(type(s) is int and s == sides[0] for s in sides)):
        return None if value is None else cast(int, sides[0])
    text = shown(cast(object, value))
    raise _refused(file, (key,), f"{key} is {text}, not the side of a square")


def _normalising(file: JsonFile) -> dict[str, Any]:
    factor = file.data.get("rescale_factor", 1 / 255)
    is_usual = isinstance(factor, float) and math.isclose(factor, 1 / 255, rel_tol=1e-3)
    if not is_usual or file.data.get("do_rescale") is False:
        raise _refused(file, (), "pixels are not taken to [0, 1]")
    if file.data.get("do_normalize") is False:
        return {"mean": [0.0] * 3, "std": [1.0] * 3}
    keys = {"mean": "image_mean", "std": "image_std"}
    return {name: file.data[key] for name, key in keys.items() if key in file.data}


def _refused(file: JsonFile, path: tuple[str, ...], message: str) -> SpecError:
    hint = "a spec resizes to a side, crops a square, and normalises pixels of [0, 1]"
    return SpecError(Problem("E215", message, file.place(path), hint))
