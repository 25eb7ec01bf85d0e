"""What a visitor asks to be trained: every value checked, and the command line that it makes."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import archspec
from archspec.differences.normal_form import content
from archspec.errors import ArchspecError, Problem, UsageError, did_you_mean, listing
from archspec.lang.inherit import packaged_folder, packaged_names
from archspec.lang.schema import Architecture
from archspec.lang.spec import Spec
from archspec.lang.yaml import MAX_BYTES, dump, flow
from archspec.training.options import Options, Phase
from archspec_app.workspace import inside, refuse_links_out

MOST_TEXT, MOST_PARAMS, MOST_FILES, MOST_WORKERS = 200, 100_000, 100, 16
_MOST_NUMBER = 1e30
_HUB = re.compile(r"\w[\w.-]*/\w[\w.-]*(?::[\w.-]+)?", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)
_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
_WHOLE = (
    "epochs", "batch_size", "accumulate", "patience", "seed", "workers", "max_length",
)  # fmt: skip
_NUMBERS = (
    "learning_rate", "momentum", "weight_decay", "warmup", "clip", "save_every",
)  # fmt: skip
_WORDS = ("optimizer", "schedule", "precision", "monitor", "device")
_TEXTS = ("text", "image", "label", "train", "validation", "test", "encoding", "key")
_SWITCHES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "header": {"auto": (), "names": ("--header",), "row": ("--no-header",)},  # a first line
    "partial": {"no": (), "yes": ("--partial",)},
}
_SHARES = ("validation_share", "most_bad")
_FILES = ("data", "weights", "tokenizer")
OPTIONS = (*_FILES, "freeze", "phases", *_WHOLE, *_NUMBERS, *_WORDS, *_TEXTS, *_SHARES, *_SWITCHES)
"""The names that a form may set; all but ``data`` may be left out or None."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What is to be trained.

    Attributes:
        text: of the spec, such that it can stand anywhere: a parent of the visitor's is merged in.
        stem: the spec's file is called so; what the run is named for.
        plan: the freeze plans in a word.
        arguments: of ``archspec train`` behind the spec; files are relative to the start folder.
    """

    text: str
    stem: str
    plan: str
    arguments: tuple[str, ...]


def read_request(
    folder: Path,
    text: str,
    name: str,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    allow_hub: bool = False,
) -> TrainRequest:
    """Check what a form says.

    Args:
        folder: the start folder; whatever is named lies below it.
        text: the spec's, as it stands in the editor.
        name: of a packaged spec, or of the spec's file relative to ``folder``.
        params: values for its parameters.
        options: as ``OPTIONS`` names them.
        allow_hub: whether ``data`` may be a name on the hub.

    Raises:
        UsageError: E801, every option that is not what ``archspec.train`` takes, or leads out.
        SpecError: the text or a parameter is wrong.
    """
    spec = _spec(folder, text, name, params)
    problems: list[Problem] = []
    given = _given(options, problems)
    files = _files(folder, name, spec, given, problems, allow_hub=allow_hub)
    phases = _checked(given, spec, problems)
    if problems:
        raise UsageError(problems)
    apart = (*_FILES, "freeze", "phases", *_SWITCHES)
    plain = {key: value for key, value in given.items() if key not in apart}
    plan = "+".join(phase.label for phase in phases)
    said = [("phases" if "phases" in given else "freeze", _plans(phases, given)), *plain.items()]
    words = [f"--{key.replace('_', '-')}={value}" for key, value in (*files, *said) if value != ""]
    words += [word for key, ways in _SWITCHES.items() if key in given for word in ways[given[key]]]
    words += [f"--param={key}={flow(value)}" for key, value in params.items()]
    return TrainRequest(_standing(spec, text), _stem(name), plan, tuple(words))


def _stem(name: str) -> str:
    """Of letters, digits, dots and lines."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", Path(name).stem).strip("-.")[:60] or "spec"


def _spec(folder: Path, text: str, name: str, params: Mapping[str, Any]) -> Spec:
    if not isinstance(text, str) or len(text) > MAX_BYTES:
        raise _usage(f"a spec is a text of at most {MAX_BYTES:,} bytes")
    if not _is_plain(params) or not all(_PARAM.fullmatch(key) for key in params):
        raise _usage("the parameters are not names with plain values")
    packaged = name in packaged_names()
    beside = folder if packaged else inside(folder, name, there=False).parent
    return archspec.loads(text, name=name, folder=beside, **params)


def _is_plain(params: object) -> bool:
    """Whether parameters are JSON, and not much of it."""
    try:
        return isinstance(params, Mapping) and len(json.dumps(dict(params))) <= MOST_PARAMS
    except (TypeError, ValueError, RecursionError):
        return False


def _standing(spec: Spec, text: str) -> str:
    """The text as it is, if it needs no file beside it: its lines are those of the editor."""
    packaged = packaged_folder()
    if all(path.parent == packaged for path in spec.document.files):
        return text
    return dump(content(spec))


# ----------------------------------------------------------------------------------------- options


def _given(options: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The options that are set and of the right kind."""
    if not isinstance(options, Mapping):
        raise _usage("the options are a mapping of names to values")
    found: dict[str, Any] = {}
    for key, value in options.items():
        if key not in OPTIONS:
            hint = did_you_mean(str(key)[:MOST_TEXT], OPTIONS)
            problems.append(Problem("E801", f"no option is called {_shown(key)}", hint=hint))
        elif value is None or value == "":
            continue
        elif (why := _odd(key, value)) is not None:
            problems.append(Problem("E801", f"{key} is {why}, not {_shown(value)}"))
        else:
            found[key] = int(value) if key in _WHOLE else value
    return found


def _odd(key: str, value: object) -> str | None:
    """What an option should be; None if its value is that."""
    checks: tuple[tuple[Sequence[str], Callable[[Any], bool], str], ...] = (
        (_WHOLE, _is_whole, "a whole number"),
        ((*_NUMBERS, *_SHARES), _is_number, "a number"),
        *(
            ((key,), lambda value, ways=ways: value in [*ways], " or ".join(ways))
            for key, ways in _SWITCHES.items()
        ),
        ((*_WORDS, *_TEXTS, "freeze"), _is_text, f"a text of at most {MOST_TEXT} characters"),
    )
    return next((what for keys, check, what in checks if key in keys and not check(value)), None)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= _MOST_NUMBER and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return _is_number(value) and float(cast("float", value)).is_integer()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MOST_TEXT and value.isprintable()


def _checked(given: Mapping[str, Any], spec: Spec, problems: list[Problem]) -> tuple[Phase, ...]:
    """The phases of options that ``archspec.train`` takes; adds what it would refuse."""
    signature = inspect.signature(archspec.train)
    names = [name for name in Options.__slots__ if name in signature.parameters]
    asked = {name: given.get(name, signature.parameters[name].default) for name in names}
    asked["momentum"] = given.get("momentum", 0.9)
    asked["monitor"] = given.get("monitor", "accuracy")
    phases = asked.pop("phases", None)
    device = asked["device"]
    if isinstance(device, str) and _DEVICE.fullmatch(device) is None:
        hint = "auto, cpu, cuda, cuda:N or mps"
        problems.append(Problem("E801", f"no device is called {_shown(device)}", hint=hint))
    if asked["workers"] > MOST_WORKERS:
        problems.append(Problem("E801", f"workers are at most {MOST_WORKERS}"))
    try:
        options = Options.checked(given.get("freeze"), given.get("epochs"), phases, **asked)
    except UsageError as error:
        problems += [p for p in error.problems if not p.message.startswith("device")]
        return ()
    for phase in options.phases:
        problems += _no_plan(phase, spec.architecture)
    return options.phases


def _no_plan(phase: Phase, architecture: Architecture) -> list[Problem]:
    plans = ("none", *architecture.freeze)
    if phase.plan is None or phase.plan in plans:
        return []
    hint = did_you_mean(phase.label, plans) or f"there is: {listing(plans)}"
    message = f"the spec has no freeze plan {_shown(phase.label)}"
    return [Problem("E801", message, hint=hint)]


def _plans(phases: Sequence[Phase], given: Mapping[str, Any]) -> str:
    if "phases" in given:
        return ",".join(f"{phase.label}:{phase.epochs}" for phase in phases)
    return str(given.get("freeze", ""))


# ------------------------------------------------------------------------------------------- files


def _files(
    folder: Path,
    name: str,
    spec: Spec,
    given: Mapping[str, Any],
    problems: list[Problem],
    *,
    allow_hub: bool,
) -> list[tuple[str, str]]:
    """Option and file, relative to the folder."""
    if "data" not in given:
        problems.append(Problem("E801", "there is no data", hint="name a file or a folder"))
    found: list[tuple[str, str]] = []
    for key in _FILES:
        value = given.get(key)
        names: list[Any] = value if isinstance(value, list) and key == "data" else [value]
        if len(names) > MOST_FILES:
            problems.append(Problem("E801", f"data are at most {MOST_FILES} files"))
            continue
        for one in names:
            if one is not None:
                found += _file(folder, key, one, problems, hub=allow_hub and key == "data")
    if not {"tokenizer", "weights"} & set(given):
        found += _tokenizer_beside(folder, name, spec)
    return found


def _file(
    folder: Path, key: str, name: object, problems: list[Problem], *, hub: bool
) -> list[tuple[str, str]]:
    if hub and isinstance(name, str) and _HUB.fullmatch(name) and not (folder / name).exists():
        return [(key, name)]
    try:
        path = inside(folder, name, there=True)
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
    if task is None or task.text is None or name in packaged_names():
        return []
    places = [folder / name, *spec.document.files]
    for place in places:
        try:
            beside = os.path.relpath(place.parent / str(task.text.tokenizer), folder)
            return [("tokenizer", _relative(folder, inside(folder, beside, there=True)))]
        except (ArchspecError, ValueError):
            continue
    return []


def _shown(value: object) -> str:
    """In quotes, bounded; what does not print is escaped."""
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else f"'{value}'"
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
