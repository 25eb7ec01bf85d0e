"""The public face: names, signatures, docstrings, errors, and how little is imported."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import archspec
from archspec.errors import CODES, ArchspecError, Note, Place, Problem
from archspec.lang.spec import as_spec
from tests.tables import every

ERRORS = {
    "ArchspecError": "Exception",
    "BuildError": "ArchspecError",
    "DataError": "ArchspecError",
    "FreezeError": "ArchspecError",
    "RunError": "ArchspecError",
    "ShapeError": "BuildError",
    "SpecError": "ArchspecError",
    "UsageError": "ArchspecError",
    "WeightsError": "ArchspecError",
}
DATA = ["Canvas", "Data", "Diff", "Drawing", "Explanation", "FreezeProof", "FreezeReport"]
DATA += [
    "Frontier",
    "Inspection",
    "Lock",
    "MultiLabelPrediction",
    "NoFrontier",
    "Note",
    "NumberPrediction",
    "Place",
    "PredictedFile",
    "Prediction",
    "Predictor",
]
DATA += ["Problem", "Run", "Spec", "Sweep", "TrainCallback", "TrainOptions", "TrainState", "Trial"]
DATA += [
    "AnswerPrediction",
    "ContinuationPrediction",
    "MaskPrediction",
    "SegmentationPrediction",
    "TaggedSpan",
    "TaggedWord",
    "TokenPrediction",
]
DATA += ["WeightsReport"]
FUNCTIONS = ["build", "diff", "draw", "draw_all", "draw_canvas", "export", "find_frontier"]
FUNCTIONS += [
    "freeze",
    "freeze_proof",
    "generate",
    "inspect",
    "largest_batch",
    "load",
    "load_weights",
    "loads",
    "lock",
    "merge",
]
FUNCTIONS += ["open_data", "register_layer", "register_op", "resume", "runs", "save_adapter"]
FUNCTIONS += ["save_weights", "sweep", "to_python", "train", "trainable_parameters"]


# ------------------------------------------------------------------------------------------- names


def test_the_public_names() -> None:
    assert archspec.__all__ == sorted(archspec.__all__)
    assert set(archspec.__all__) == {*ERRORS, *DATA, *FUNCTIONS, "__version__"}
    assert dir(archspec) == archspec.__all__


@every("name", [*ERRORS, *DATA, *FUNCTIONS])
def test_every_name_is_there_and_stays_the_same(name: str) -> None:
    found = getattr(archspec, name)
    assert found.__name__ == name
    assert getattr(archspec, name) is found
    assert vars(archspec)[name] is found  # looked up once


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = cast(Any, archspec).biuld
    assert str(caught.value) == "module 'archspec' has no attribute 'biuld'"
    assert not hasattr(archspec, "__wrapped__")


def test_star_import() -> None:
    names: dict[str, Any] = {}
    exec("from archspec import *", names)
    assert set(archspec.__all__) <= names.keys()


# ----------------------------------------------------------------------------------------- imports

HEAVY = ("torch", "rich", "click", "transformers", "torchvision", "safetensors", "numpy")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import archspec", (*HEAVY, "pydantic", "yaml", "archspec.errors")),
        ("import archspec; archspec.ArchspecError", (*HEAVY, "pydantic", "yaml")),
        ("import archspec; archspec.load('bert')", HEAVY),
        ("import archspec; archspec.load('resnet18', num_classes=3).root", HEAVY),
        ("import archspec; archspec.register_op", HEAVY),
        ("import archspec; archspec.register_layer", HEAVY),
        ("import archspec; archspec.runs('.')", ("torch", "lightning_fabric", "rich")),
        ("import archspec; archspec.train", ("lightning_fabric", "rich", "torchvision")),
        ("import archspec; archspec.Prediction", ("torch", "rich", "pyarrow")),
        ("import archspec; archspec.build", ("rich", "click", "transformers", "torchvision")),
    ],
)
def test_nothing_is_imported_before_it_is_needed(code: str, absent: tuple[str, ...]) -> None:
    script = f"import sys\n{code}\nprint(*sorted(set({absent!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


# -------------------------------------------------------------------------------------- signatures

KEYWORD, ANY = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD
SIGNATURES: dict[str, list[tuple[str, Any]]] = {
    # ... for no default; a star for what is given by name only
    "load": [("path_or_name", ...), ("*config", None), ("**params", ...)],
    "loads": [
        ("text", ...), ("*config", None), ("*name", "<spec>"), ("*folder", None), ("**params", ...),
    ],
    "build": [
        ("source", ...), ("*device", "auto"), ("*dtype", None), ("*weights", None),
        ("*layout", None), ("*key", None), ("*ignore", ()), ("*allow_missing", ()),
        ("*resize", None), ("*allow_partial", False),
        ("*freeze", None), ("*seed", None), ("**params", ...),
    ],
    "freeze": [
        ("model", ...), ("plan", ...), ("*spec", None), ("*gradients", None),
        ("*statistics", None), ("*dropout", None),
    ],
    "freeze_proof": [("model", ...)],
    "diff": [
        ("a", ...), ("b", ...), ("*levels", ("spec", "tree", "tensors", "cost")), ("*freeze", None),
    ],
    "find_frontier": [
        ("model", ...), ("inputs", ...), ("*lengths", None), ("*augmented", False),
        ("*least", 0.01),
    ],
    "generate": [
        ("model", ...), ("input_ids", ...), ("max_new_tokens", ...), ("*decoder_input_ids", None),
        ("*attention_mask", None), ("*temperature", 0.0), ("*top_k", None), ("*top_p", None),
        ("*seed", None), ("*eos_token_id", None), ("*pad_token_id", None),
    ],
    "lock": [("source", ...), ("**params", ...)],
    "open_data": [
        ("source", ...), ("*task", ...), ("*train_split", None), ("*validation_split", None),
        ("*test_split", None), ("*text_column", None), ("*text_pair_column", None),
        ("*image_column", None), ("*negative_column", None), ("*label_column", None),
        ("*labels", None), ("*validation_fraction", 0.1), ("*max_bad_rows", 0.0), ("*header", None),
        ("*encoding", None), ("*seed", 0), ("*base", None),
    ],
    "train": [
        ("source", ...), ("data", ...), ("options", None), ("*text_column", None),
        ("*text_pair_column", None), ("*negative_column", None), ("*image_column", None),
        ("*label_column", None), ("*labels", None), ("*train_split", None),
        ("*validation_split", None), ("*test_split", None), ("*validation_fraction", 0.1),
        ("*max_bad_rows", 0.0), ("*header", None), ("*encoding", None), ("*tokenizer", None),
        ("*max_length", None), ("*task", None), ("*freeze", None), ("*weights", None),
        ("*layout", None),
        ("*key", None), ("*ignore", ()), ("*allow_missing", ()), ("*resize", ()),
        ("*allow_partial", False), ("*epochs", 3), ("*max_steps", None),
        ("*phases", ()), ("*batch_size", 32),
        ("*accumulate_grad_batches", 1),
        ("*learning_rate", 2e-4), ("*learning_rates", ()), ("*layer_decay", 1.0),
        ("*optimizer", "adamw"), ("*momentum", 0.9),
        ("*weight_decay", 0.01), ("*schedule", "linear"), ("*warmup", None),
        ("*cycles", 3), ("*ema_decay", None), ("*class_weights", None), ("*label_smoothing", 0.0),
        ("*focal_gamma", 0.0),
        ("*max_grad_norm", 1.0), ("*seed", 0), ("*monitor", None), ("*patience", None),
        ("*device", "auto"), ("*devices", 1), ("*strategy", "auto"), ("*precision", "fp32"),
        ("*checkpoint_blocks", ()), ("*quantize", None), ("*compile", False),
        ("*num_workers", 0),
        ("*output_dir", "runs"), ("*name", None),
        ("*save_interval", 120.0), ("*track", None),
        ("*feature_cache", "auto"), ("*feature_cache_size", 20.0), ("*loss", None),
        ("*callbacks", ()), ("*progress", True), ("**params", ...),
    ],
    "Predictor": [
        ("source", ...), ("*weights", None), ("*layout", None), ("*key", None), ("*ignore", ()),
        ("*allow_missing", ()), ("*resize", None), ("*allow_partial", False), ("*device", "auto"),
        ("*batch_size", 32), ("*optimize", False), ("*tokenizer", None), ("*max_length", None),
        ("*labels", None), ("*threshold", None), ("*calibrate", False),
        ("*max_new_tokens", None), ("**params", ...),
    ],
    "resume": [
        ("path", ...), ("*data", None), ("*epochs", None), ("*loss", None), ("*callbacks", ()),
        ("*progress", True),
    ],
    "runs": [("folder", "runs")],
    "sweep": [
        ("source", ...), ("data", ...), ("search", ...), ("options", None), ("*trials", 20),
        ("*progress", True), ("**given", ...),
    ],
    "trainable_parameters": [("model", ...), ("*weight_decay", 0.01)],
    "draw": [
        ("source", ...), ("*block", None), ("*freeze", None), ("*batch", None), ("**dims", ...),
    ],
    "draw_all": [("source", ...), ("*freeze", None), ("*batch", None), ("**dims", ...)],
    "draw_canvas": [
        ("source", ...), ("*freeze", None), ("*batch", None), ("*against", None), ("**dims", ...),
    ],
    "load_weights": [
        ("model", ...), ("path", ...), ("*layout", None), ("*spec", None), ("*ignore", ()),
        ("*allow_missing", ()), ("*resize", None), ("*key", None), ("*allow_partial", False),
    ],
    "export": [
        ("run", ...), ("folder", ...), ("*to", "folder"), ("*weights", "best"),
    ],
    "merge": [("model", ...)],
    "save_adapter": [("model", ...), ("folder", ...), ("*layout", None)],
    "save_weights": [
        ("model", ...), ("path", ...), ("*layout", None), ("*spec", None),
        ("*max_shard_bytes", None),
    ],
    "to_python": [("source", ...), ("**params", ...)],
    "register_layer": [("cls", None), ("*name", None)],
    "register_op": [("fn", None), ("*name", None)],
}  # fmt: skip


def described(function: Callable[..., Any]) -> list[tuple[str, Any]]:
    stars = {KEYWORD: "*", ANY: "**"}
    return [
        (stars.get(p.kind, "") + p.name, ... if p.default is p.empty else p.default)
        for p in inspect.signature(function).parameters.values()
    ]


@every("name", SIGNATURES)
def test_signature(name: str) -> None:
    assert described(getattr(archspec, name)) == SIGNATURES[name]


@every("name", FUNCTIONS)
def test_everything_is_annotated(name: str) -> None:
    signature = inspect.signature(getattr(archspec, name))
    assert signature.return_annotation is not signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


@every("name", FUNCTIONS)
def test_every_function_tells_how_it_is_used(name: str) -> None:
    function = getattr(archspec, name)
    doc = inspect.getdoc(function) or ""
    assert doc.splitlines()[0].endswith(".")
    if doc.startswith("As ``load``"):
        return
    assert "Args:" in doc and "Raises:" in doc and "Example:" in doc
    for parameter in inspect.signature(function).parameters:
        if name != "train" or parameter not in archspec.TrainOptions.model_fields:
            assert f"{parameter}: " in doc, parameter


def test_every_option_of_training_is_described() -> None:
    for name, field in archspec.TrainOptions.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_a_misspelt_option_is_called_one() -> None:
    cases: list[tuple[dict[str, Any], str, str]]
    cases = [({"epoch": 3}, "no option or parameter 'epoch'", "did you mean 'epochs'?")]
    cases += [
        ({"widht": 3, "batchsize": 2}, "no option or parameter 'widht'", "did you mean 'width'?")
    ]
    for keywords, message, hint in cases:
        with pytest.raises(archspec.UsageError) as caught:
            archspec.train("tests/training/tiny.yaml", "nowhere.csv", device="cpu", **keywords)
        assert (caught.value.message, caught.value.hint) == (message, hint)
        assert len(caught.value.problems) == len(keywords)
    with pytest.raises(archspec.UsageError) as caught:
        archspec.TrainOptions(epoch=3)
    assert (caught.value.message, caught.value.hint) == (
        "no option 'epoch'",
        "did you mean 'epochs'?",
    )


@every("name", [*ERRORS, *DATA])
def test_every_class_says_what_it_is(name: str) -> None:
    doc = getattr(archspec, name).__doc__ or ""
    assert doc.strip() and not doc.startswith(f"{name}(")  # a dataclass's own is its signature


def public_members(cls: type) -> list[tuple[str, Any]]:
    members = [(name, value) for name, value in vars(cls).items() if not name.startswith("_")]
    return [(n, v) for n, v in members if inspect.isfunction(v) or isinstance(v, property)]


def test_the_methods_of_a_spec_are_described() -> None:
    members = public_members(archspec.Spec)
    assert {name for name, _ in members} >= {"values", "with_params"}
    assert all(inspect.getdoc(value) for _, value in members)


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(("name", "base"), ERRORS.items())
def test_the_error_tree(name: str, base: str) -> None:
    error = getattr(archspec, name)
    assert [parent.__name__ for parent in error.__bases__] == [base]
    assert error.__module__ == "archspec.errors"
    assert error in (ArchspecError, *every_subclass(ArchspecError))


def every_subclass(cls: type) -> list[type]:
    return [one for sub in cls.__subclasses__() for one in (sub, *every_subclass(sub))]


def test_no_error_is_left_out() -> None:
    ours = [
        c.__name__ for c in every_subclass(ArchspecError) if c.__module__.startswith("archspec")
    ]
    assert {*ours, "ArchspecError"} == set(ERRORS)


def test_an_error_is_its_first_problem() -> None:
    place = Place("a.yaml", 3, 5, 7, "    ab: 1")
    problems = [
        Problem("E201", "unknown key 'ab'", place, "did you mean 'abc'?"),
        Problem("E202", "second", notes=(Note("because", place),)),
    ]
    error = archspec.SpecError(problems)
    assert error.problems == tuple(problems)
    assert (error.code, error.place) == ("E201", place)
    assert (error.message, error.hint) == ("unknown key 'ab'", "did you mean 'abc'?")
    assert str(error).splitlines() == [
        "a.yaml:3:5: error[E201]: unknown key 'ab'",
        "    3 |     ab: 1",
        "      |     ^^ did you mean 'abc'?",
        "",
        "error[E202]: second",
        "  a.yaml:3:5: because",
        "    3 |     ab: 1",
        "      |     ^^",
    ]
    assert archspec.BuildError(problems[1]).problems == (problems[1],)


@pytest.mark.parametrize("code", ["bert", "resnet50"])
def test_every_error_has_a_code_of_the_table(code: str) -> None:
    with pytest.raises(ArchspecError) as caught:
        archspec.load(code, no_such_parameter=1)
    assert caught.value.code in CODES and caught.value.code == "E208"


# ------------------------------------------------------------------------------------------ source

TEXT = "archspec: 1\nmodel: M\nblocks: {M: {modules: {a: {type: ReLU}}, inputs: {x: [2]}}}\n"


@pytest.mark.parametrize("call", [archspec.build, archspec.to_python])
def test_text_is_no_source(call: Callable[..., Any]) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        call(TEXT)
    assert caught.value.code == "E801" and "archspec.loads(text)" in str(caught.value)


def test_load_of_text_says_loads() -> None:
    with pytest.raises(ArchspecError) as caught:
        as_spec(TEXT, {})
    assert caught.value.code == "E801"


def test_text_given_to_load() -> None:
    with pytest.raises(archspec.UsageError) as caught:
        archspec.load(TEXT)
    assert caught.value.code == "E801" and "loads" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kind"),
    [({"archspec": 1}, "dict"), (None, "NoneType"), (3, "int"), ([], "list"), (b"bert", "bytes")],
)
@pytest.mark.parametrize("call", [archspec.build, archspec.to_python])
def test_what_is_no_source(call: Callable[..., Any], given: Any, kind: str) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        call(given)
    assert caught.value.code == "E801" and caught.value.place is None
    expected = f"a spec is a path, a packaged spec's name or a Spec, not {kind}"
    assert caught.value.message == expected


@pytest.mark.parametrize("given", [{"archspec": 1}, None, 3])
def test_load_of_what_is_no_path(given: Any) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        archspec.load(given)
    assert caught.value.code == "E801"


@pytest.mark.parametrize("given", [Path("bert.yaml"), None, b"archspec: 1"])
def test_loads_of_what_is_no_text(given: Any) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        archspec.loads(given)
    assert caught.value.code == "E801"


def test_a_spec_is_a_source_with_other_values() -> None:
    spec = archspec.load("resnet18", num_classes=3)
    assert as_spec(spec, {}) is spec
    assert as_spec(spec, {"num_classes": 5}).values["num_classes"] == 5
    assert spec.values["num_classes"] == 3


def test_a_name_that_is_no_packaged_spec() -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load("brt")
    hint = "did you mean 'bart' or 'bert'?"
    assert (caught.value.code, caught.value.hint) == ("E108", hint)
