"""What a visitor asks to be trained: every value checked, and the command line that it makes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import archspec
from archspec.differences.normal_form import content
from archspec.errors import ArchspecError, Problem, UsageError, did_you_mean, listing
from archspec.lang.packaged import is_packaged, packaged_specs
from archspec.lang.params import overrides_from_options
from archspec.lang.schema import Architecture
from archspec.lang.spec import Spec
from archspec.lang.yaml import MAX_BYTES, dump
from archspec.training.option_info import OptionInfo, option_infos
from archspec.training.options import Phase, TrainOptions
from archspec_app import example
from archspec_app.workspace import inside, refuse_links_out

MAX_TEXT, MAX_FILES, MAX_WORKERS = 200, 100, 16
_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*(?::[\w.-]+)?", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)
_FILES = ("data", "weights", "tokenizer")
_BESIDE = ("data", "adapter")  # what a form may say that is no option
EXAMPLE_BUTTON = "Use the example data"
_SERVER_ONLY = (  # what the page decides, and what a form cannot say
    "output_dir", "name", "devices", "strategy", "track", "feature_cache", "feature_cache_size",
    "labels", "ignore", "allow_missing",
)  # fmt: skip
OPTIONS = {
    name: info for name, info in option_infos(TrainOptions).items() if name not in _SERVER_ONLY
}
"""The options of ``archspec.train`` that a form may set, beside ``data``."""
FIELDS = (*_BESIDE, *OPTIONS)
"""The names of what a form may set."""
_NAMED = (  # where a message names an option
    re.compile(r"\b(?P<name>[a-z_]+)=(?P<value>[\w.-]*)"),
    re.compile(r"(?m)(?<=^error\[E\d{3}\]: )(?P<name>[a-z_]+)(?=:| must | have | and )"),
    re.compile(r"(?<!['\"\w.-])(?P<name>[a-z]+(?:_[a-z]+)+)(?!['\"\w=(-]|\.\w)"),
)
SWITCH = {"auto": None, "yes": True, "no": False}
"""What a form says for options that are true or false."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What is to be trained.

    Attributes:
        text: of the spec, such that it can stand anywhere: a parent of the visitor's is merged in.
        stem: the spec's file is called so; what the run is named for.
        plan: the freeze plans in a word.
        arguments: of ``archspec train`` behind the spec; files are relative to the start folder.
        spec: what the text says, with the adapter.
        options: those that are no files.
        files: option and file, relative to the start folder.
    """

    text: str
    stem: str
    plan: str
    arguments: tuple[str, ...]
    spec: Spec
    options: TrainOptions
    files: tuple[tuple[str, str], ...]


def read_request(
    folder: Path,
    text: str,
    name: str,
    options: Mapping[str, Any],
    *,
    allow_hub: bool = False,
) -> TrainRequest:
    """Check what a form says.

    Args:
        folder: the start folder; whatever is named lies below it.
        text: the spec's, as it stands in the editor.
        name: of a packaged spec, or of the spec's file relative to ``folder``.
        options: as ``OPTIONS`` names them, ``data``, and ``adapter``: one of the spec's by its
            name, ``none``, or a mapping in YAML.
        allow_hub: whether ``data`` may be a name on the hub.

    Raises:
        UsageError: E801, every option that is not what ``archspec.train`` takes, or leads out.
        SpecError: the text is wrong.
    """
    spec = _spec(folder, text, name)
    problems: list[Problem] = []
    values = _values(options, problems)
    adapter = values.pop("adapter", None)
    adapted = spec if adapter is None else _adapted(folder, text, name, adapter)
    files = _files(folder, name, spec, values, problems, allow_hub=allow_hub)
    chosen = {key: value for key, value in values.items() if key not in _file_options(values)}
    phases = _phases(chosen, adapted.architecture, problems)
    if problems:
        raise UsageError(problems)
    words = [f"--{key}={value}" for key, value in files]
    words += [_word(OPTIONS[key], value) for key, value in chosen.items()]
    words += [] if adapter is None else [f"--adapter={adapter}"]
    plan = "+".join(phase.label for phase in phases)
    if adapted.adapter is not None and not {"freeze", "phases"} & set(chosen):
        plan = adapted.adapter.name
    return TrainRequest(
        _standalone(spec, text), _stem(name), plan, tuple(words), adapted,
        TrainOptions(**chosen), tuple(files),
    )  # fmt: skip


def takes_example(spec: Spec) -> bool:
    """Whether the example's data are for a model of this spec."""
    task = spec.architecture.task
    return task is not None and task.kind == example.TASK


def example_options(folder: Path, name: str, spec: Spec, *, has_tokenizer: bool) -> dict[str, str]:
    """The options that train a spec on the example's data.

    Args:
        folder: the start folder.
        name: of the spec, as ``read_request`` takes it.
        spec: of a model for ``example.TASK``.
        has_tokenizer: whether the form has one, or weights: those need the one that they were
            trained with.

    Returns:
        ``data``, and ``tokenizer`` where the model has none of its own.
    """
    options = {"data": example.DATA}
    if not has_tokenizer and not _tokenizer_beside(folder, name, spec):
        options["tokenizer"] = example.TOKENIZER
    return options


def field_label(name: str) -> str:
    """What the form calls an option."""
    return name.replace("_", " ").capitalize()


def in_words_of_the_form(text: str) -> str:
    """A message that names options as Python and the command line do, for who sees the form.

    >>> in_words_of_the_form("say which with max_length=190 (--max-length 190)")
    'say which with "Max length" 190'
    >>> in_words_of_the_form("error[E801]: epochs must be an integer, and so must batch_size")
    'error[E801]: "Epochs" must be an integer, and so must "Batch size"'
    """

    def named(found: re.Match[str]) -> str:
        name, value = found["name"], found.groupdict().get("value")
        if name not in FIELDS:
            return found[0]
        return f'"{field_label(name)}"{f" {value}" if value else ""}'

    text = re.sub(r" \(--[^()]*\)", "", text)
    for pattern in _NAMED:
        text = pattern.sub(named, text)
    return text


def fields_named(text: str) -> list[str]:
    """The fields that a message in the words of the form names, in its order.

    >>> fields_named('there is no vocab.txt: give its path with "Tokenizer"')
    ['tokenizer']
    """
    places = {name: text.find(f'"{field_label(name)}"') for name in FIELDS}
    return sorted((name for name, at in places.items() if at >= 0), key=places.__getitem__)


def _word(info: OptionInfo, value: object) -> str:
    """An option on the command line."""
    if info.type is bool:
        return info.flag if value else f"--no-{info.flag[2:]}"
    return f"{info.flag}={value}"


def _stem(name: str) -> str:
    """Of letters, digits, dots and lines."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", Path(name).stem).strip("-.")[:60] or "spec"


def _spec(folder: Path, text: str, name: str, **params: Any) -> Spec:
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        raise _usage(f"a spec is a text of at most {MAX_BYTES:,} bytes")
    packaged = name in packaged_specs()
    beside = folder if packaged else inside(folder, name, must_exist=False).parent
    return archspec.loads(text, name=name, folder=beside, **params)


def _adapted(folder: Path, text: str, name: str, adapter: str) -> Spec:
    """The spec with an adapter; folders of adapters, which a command line takes, are refused."""
    value = overrides_from_options([f"adapter={adapter}"])["adapter"].value
    if isinstance(value, str) and os.sep in value:
        hint = "the name of one of the spec's adapters, or a mapping"
        raise _usage(f"adapter: {_quoted(adapter)} is a folder", hint)
    return _spec(folder, text, name, adapter=value)


def _standalone(spec: Spec, text: str) -> str:
    """The text as it is, if it needs no file beside it: its lines are those of the editor."""
    if all(map(is_packaged, spec.document.files)):
        return text
    return dump(content(spec))


# ----------------------------------------------------------------------------------------- options


def _values(options: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The options that differ from their defaults, as Python has them."""
    if not isinstance(options, Mapping):
        raise _usage("the options are a mapping of names to values")
    values: dict[str, Any] = {}
    for key, value in options.items():
        info = OPTIONS.get(key)
        if key not in _BESIDE and info is None:
            hint = did_you_mean(str(key)[:MAX_TEXT], (*_BESIDE, *OPTIONS))
            problems.append(Problem("E801", f"no option is called {_quoted(key)}", hint=hint))
        elif value is None or value == "":
            continue
        elif key in _FILES:
            values[key] = value
        elif (info is None or info.type is str) and not _is_text(value):
            message = f"{key} must be a text of at most {MAX_TEXT} characters"
            problems.append(Problem("E801", f"{message}, not {_quoted(value)}"))
        elif info is None:
            values[key] = value
        elif (converted := _converted(info, value)) not in (None, info.default):
            values[key] = converted
    return values


def _converted(info: OptionInfo, value: Any) -> Any:
    """JavaScript has no integers, and a form has no booleans."""
    if info.type is bool:
        return SWITCH.get(value, value) if isinstance(value, str) else str(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole and info.type is int else value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()


def _phases(
    chosen: Mapping[str, Any], architecture: Architecture, problems: list[Problem]
) -> tuple[Phase, ...]:
    """The phases that options make; adds what ``archspec.train`` would refuse."""
    device = chosen.get("device")
    if device is not None and _DEVICE.fullmatch(device) is None:
        hint = "auto, cpu, cuda, cuda:N or mps"
        message = f"device: no device is called {_quoted(device)}"
        problems.append(Problem("E801", message, hint=hint))
    try:
        options = TrainOptions(**chosen)
    except UsageError as error:
        problems += error.problems
        return ()
    if options.num_workers > MAX_WORKERS:
        problems.append(Problem("E801", f"num_workers must be at most {MAX_WORKERS}"))
    phases = options.resolved(("none",)).phases
    field = "phases" if options.phases else "freeze"
    for phase in phases:
        problems += _missing_plan(field, phase, architecture)
    return phases


def _missing_plan(field: str, phase: Phase, architecture: Architecture) -> list[Problem]:
    plans = ("none", *architecture.freeze)
    if phase.plan is None or phase.plan in plans:
        return []
    hint = did_you_mean(phase.label, plans) or f"there is: {listing(plans)}"
    message = f"{field}: the spec has no freeze plan {_quoted(phase.label)}"
    return [Problem("E801", message, hint=hint)]


# ------------------------------------------------------------------------------------------- files


def _files(
    folder: Path,
    name: str,
    spec: Spec,
    values: Mapping[str, Any],
    problems: list[Problem],
    *,
    allow_hub: bool,
) -> list[tuple[str, str]]:
    """Option and file, relative to the folder."""
    if "data" not in values:
        hint = 'name a file or a folder with "Data"'
        if takes_example(spec):
            hint += f', or click "{EXAMPLE_BUTTON}"'
        problems.append(Problem("E801", "there is no data", hint=hint))
    files: list[tuple[str, str]] = []
    for key in _file_options(values):
        value = values.get(key)
        names: list[Any] = value if isinstance(value, list) and key == "data" else [value]
        if len(names) > MAX_FILES:
            problems.append(Problem("E801", f"data are at most {MAX_FILES} files"))
            continue
        for file in names:
            if file is not None:
                files += _file(folder, key, file, problems, hub=allow_hub and key == "data")
    if not {"tokenizer", "weights"} & set(values):
        files += _tokenizer_beside(folder, name, spec)
    return files


def _file_options(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The options whose values are files."""
    is_file = values.get("class_weights") not in (None, "balanced")
    return (*_FILES, "class_weights") if is_file else _FILES


def _file(
    folder: Path, key: str, name: object, problems: list[Problem], *, hub: bool
) -> list[tuple[str, str]]:
    if hub and isinstance(name, str) and _HUB.fullmatch(name) and not (folder / name).exists():
        return [(key, name)]
    try:
        path = inside(folder, name, must_exist=True)
        refuse_links_out(folder, path)
        return [(key, _relative(folder, path))]
    except UsageError as error:
        problems += [
            Problem(p.code, f"{key}: {p.message}", p.place, p.hint) for p in error.problems
        ]
        return []


def _relative(folder: Path, path: Path) -> str:
    """``./`` keeps it from being read as an option or a name on the hub."""
    return f"./{os.path.relpath(os.path.realpath(path), os.path.realpath(folder))}"


def _tokenizer_beside(folder: Path, name: str, spec: Spec) -> list[tuple[str, str]]:
    """That of the spec's own folder, which the text leaves when it is written down for a run."""
    task = spec.architecture.task
    if task is None or task.text is None or name in packaged_specs():
        return []
    places = [folder / name, *spec.document.files]
    for place in places:
        try:
            beside = os.path.relpath(place.parent / str(task.text.tokenizer), folder)
            return [("tokenizer", _relative(folder, inside(folder, beside, must_exist=True)))]
        except (ArchspecError, ValueError):
            continue
    return []


def _quoted(value: object) -> str:
    """In quotes, bounded; what does not print is escaped."""
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else f"'{value}'"
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
