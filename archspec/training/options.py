"""``TrainOptions``: every option of a run with its bounds, default and description."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from archspec.errors import Problem, UsageError, did_you_mean, shown
from archspec.report import option_help
from archspec.training.option_info import (
    MAX_EPOCHS,
    Phase,
    as_cache_folder,
    as_class_weights,
    as_names,
    as_path,
    as_patterns,
    as_phases,
    as_plan,
    as_rates,
    as_resizes,
    option,
    option_error,
    option_infos,
)

Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["linear", "cosine", "cosine-restarts", "one-cycle", "constant"]
Precision = Literal["fp32", "bf16-mixed", "fp16-mixed"]
Task = Literal[
    "text-classification", "text-regression", "text-embedding", "token-classification",
    "question-answering", "image-classification", "image-segmentation", "masked-lm", "causal-lm",
]  # fmt: skip
Monitor = Literal[
    "accuracy", "loss", "macro_f1", "micro_f1", "entity_f1", "f1", "exact_match", "mrr",
    "accuracy_at_1", "accuracy_at_10", "pearson", "spearman", "mse", "perplexity", "mean_iou",
    "pixel_accuracy",
]  # fmt: skip
Strategy = Literal["auto", "ddp", "fsdp"]
Quantization = Literal["int8", "nf4"]
Service = Literal["wandb", "mlflow"]

_MAX_INT = 2**32 - 1
_WARMUP = {"constant": 0.0, "one-cycle": 0.3}  # 0.1 for the others

_Text = Annotated[str, BeforeValidator(as_path)]
_Patterns = Annotated[tuple[str, ...], BeforeValidator(as_patterns)]
_PlanField = Annotated[str | tuple[str, ...] | None, BeforeValidator(as_plan)]
_Resizes = Annotated[tuple[str, ...], BeforeValidator(as_resizes)]
_Rates = Annotated[tuple[str, ...], BeforeValidator(as_rates)]
_ClassWeights = Annotated[str | dict[str, float] | None, BeforeValidator(as_class_weights)]

# ----------------------------------------------------------------------------------------- options

_data = partial(option, group="Data")
_model = partial(option, group="Model")
_weights = partial(option, group="Weights")
_optimisation = partial(option, group="Optimization")
_evaluation = partial(option, group="Evaluation")
_hardware = partial(option, group="Hardware")
_output = partial(option, group="Output")


class TrainOptions(BaseModel):
    """The options of ``train``, checked when they are given.

    Values are not converted: a text is no number, and True is no integer. None stands for an option
    that is left out.

    Raises:
        UsageError: E801, one problem for each option that is unknown or out of its bounds.

    Example:
        >>> TrainOptions(epochs=2, batch_size=64).learning_rate
        0.0002
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    # Data
    text_column: str | None = _data(
        None, "Column that holds the texts.", metavar="COLUMN", unset="detected"
    )
    text_pair_column: str | None = _data(
        None,
        "Column that holds the second texts of pairs.",
        metavar="COLUMN",
        unset="detected, unless --text-column is given",
    )
    negative_column: str | None = _data(
        None,
        "Column that holds hard negatives, for text-embedding: texts that do not match the text "
        "beside them.",
        metavar="COLUMN",
        unset="detected, unless --text-column is given",
    )
    image_column: str | None = _data(
        None, "Column that holds the images.", metavar="COLUMN", unset="detected"
    )
    label_column: str | None = _data(
        None, "Column that holds the labels, or the masks.", metavar="COLUMN", unset="detected"
    )
    labels: Annotated[tuple[str, ...] | None, BeforeValidator(as_names)] = _data(
        None,
        "Names of the classes, in the order of the model's outputs.",
        metavar="NAME,...",
        unset="from the spec or the data",
    )
    train_split: str | None = _data(
        None, "Name of the split to train on.", metavar="SPLIT", unset="detected by name"
    )
    validation_split: str | None = _data(
        None, "Name of the split to validate on.", metavar="SPLIT", unset="detected by name"
    )
    test_split: str | Literal[False] | None = _data(
        None, "Name of the split to test on.", metavar="SPLIT", unset="detected by name"
    )
    validation_fraction: float = _data(
        0.1,
        "Fraction of the training rows to hold out for validation if the data has no validation "
        "split.",
        metavar="FRACTION",
        ge=0,
        lt=1,
    )
    max_bad_rows: float = _data(0.0, option_help.MAX_BAD_ROWS, metavar="FRACTION", ge=0, le=1)
    header: bool | None = _data(None, option_help.HEADER)
    encoding: str | None = _data(None, option_help.ENCODING, metavar="NAME", unset="utf-8")
    tokenizer: Annotated[str | None, BeforeValidator(as_path)] = _data(
        None, option_help.TOKENIZER, metavar="FILE", unset=option_help.TOKENIZER_DEFAULT
    )
    max_length: int | None = _data(
        None, option_help.MAX_LENGTH, unset="from the spec", ge=1, le=_MAX_INT
    )

    # Model
    task: Task | None = _model(None, "What to train the model for.", unset="task.kind of the spec")
    freeze: _PlanField = _model(
        None,
        option_help.FREEZE,
        metavar="PLAN|PATTERN",
        unset=option_help.FREEZE_DEFAULT,
        repeated=True,
    )
    # Weights
    weights: Annotated[str | None, BeforeValidator(as_path)] = _weights(
        None,
        "Checkpoint to start from, or the folder of an earlier run.",
        metavar="PATH",
        unset="none: train from scratch",
    )
    layout: str | None = _weights(
        None, option_help.LAYOUT, metavar="LAYOUT", unset=option_help.LAYOUT_DEFAULT
    )
    key: str | None = _weights(None, option_help.KEY, metavar="NAME", unset=option_help.KEY_DEFAULT)
    ignore: _Patterns = _weights((), option_help.IGNORE, metavar="PATTERN", repeated=True)
    allow_missing: _Patterns = _weights(
        (), option_help.ALLOW_MISSING, metavar="PATTERN", repeated=True
    )
    resize: _Resizes = _weights((), option_help.RESIZE, metavar="PATTERN=HOW", repeated=True)
    allow_partial: bool = _weights(False, option_help.ALLOW_PARTIAL)

    # Optimisation
    epochs: int = _optimisation(3, "Number of passes over the training data.", ge=1, le=MAX_EPOCHS)
    max_steps: int | None = _optimisation(
        None,
        "Stop training after this many optimizer steps, even within an epoch or a phase.",
        unset="no limit",
        ge=1,
        le=_MAX_INT,
    )
    phases: Annotated[tuple[Phase, ...], BeforeValidator(as_phases)] = _optimisation(
        (),
        "Train with several freeze plans in sequence, each for N epochs. Used instead of --freeze "
        "and --epochs.",
        metavar="PLAN:N,...",
    )
    batch_size: int = _optimisation(32, "Batch size, summed over all processes.", ge=1, le=_MAX_INT)
    accumulate_grad_batches: int = _optimisation(
        1, "Number of batches to accumulate gradients over before each step.", ge=1, le=_MAX_INT
    )
    learning_rate: float = _optimisation(2e-4, "Peak learning rate.", ge=0, le=1e30)
    learning_rates: _Rates = _optimisation(
        (),
        "Peak learning rate of the parameters that a pattern selects, instead of --learning-rate. "
        "If several patterns match, the last one wins. May be repeated.",
        metavar="PATTERN=RATE",
        repeated=True,
    )
    layer_decay: float = _optimisation(
        1.0,
        "Layer-wise learning rate decay: the rate of a block is that of the next one, nearer to "
        "the output, times this factor. 1 disables it.",
        ge=0,
        le=1,
    )
    optimizer: Optimizer = _optimisation("adamw", "Optimizer.")
    momentum: float = _optimisation(0.9, "Nesterov momentum, for sgd.", ge=0, le=1)
    weight_decay: float = _optimisation(
        0.01, "Weight decay. Not applied to biases and normalization layers.", ge=0, le=1e30
    )
    schedule: Schedule = _optimisation("linear", "Learning rate schedule of each phase.")
    warmup: float | None = _optimisation(
        None,
        "Fraction of each phase used for learning rate warmup.",
        metavar="FRACTION",
        unset="0.1; one-cycle: 0.3; constant: 0",
        ge=0,
        le=1,
    )
    cycles: int = _optimisation(
        3, "Number of cycles in each phase, for cosine-restarts.", ge=1, le=_MAX_INT
    )
    ema_decay: float | None = _optimisation(
        None,
        "Decay of an exponential moving average of the weights, such as 0.999. The averaged "
        "weights are validated, and saved as the best.",
        metavar="FLOAT",
        unset="no average",
        ge=0,
        lt=1,
    )
    class_weights: _ClassWeights = _optimisation(
        None,
        "Weight of each class in the loss: balanced (inversely proportional to its number of "
        "rows), or a file: YAML or JSON with labels and weights, or CSV with the columns label and "
        "weight.",
        metavar="balanced|FILE",
        unset="1 each",
    )
    label_smoothing: float = _optimisation(
        0.0, "Fraction of each label that is spread evenly over all classes.", ge=0, lt=1
    )
    focal_gamma: float = _optimisation(
        0.0,
        "Gamma of the focal loss, such as 2, which gives easy rows less weight. 0 is plain cross "
        "entropy.",
        ge=0,
        le=100,
    )
    max_grad_norm: float = _optimisation(
        1.0, "Maximum gradient norm for clipping. 0 disables clipping.", ge=0, le=1e30
    )
    seed: int = _optimisation(
        0,
        "Random seed for initialization, shuffling, dropout, masking and augmentation.",
        ge=0,
        le=_MAX_INT,
    )

    # Evaluation
    monitor: Monitor | None = _evaluation(
        None,
        "Validation metric used to select the best epoch.",
        unset="accuracy; micro_f1 for several labels, entity_f1 for token-classification, f1 for "
        "question-answering, pearson for text-regression, mrr or spearman for text-embedding, "
        "perplexity for masked-lm and causal-lm, mean_iou for image-segmentation",
    )
    patience: int | None = _evaluation(
        None,
        "End a phase after this many epochs without improvement (early stopping). A tie with the "
        "best epoch is no improvement.",
        unset="no early stopping",
        ge=1,
        le=_MAX_INT,
    )

    # Hardware
    device: str = _hardware("auto", f"{option_help.DEVICE} or mps.", metavar="NAME")
    devices: int = _hardware(
        1, "Number of devices to train on. Set by torchrun if used.", ge=1, le=_MAX_INT
    )
    strategy: Strategy = _hardware(
        "auto", "How to train on several devices: ddp replicates the model, fsdp shards it."
    )
    precision: Precision = _hardware("fp32", "Training precision.")
    checkpoint_blocks: _Patterns = _hardware(
        (), option_help.CHECKPOINT_BLOCKS, metavar="PATTERN", repeated=True
    )
    quantize: Quantization | None = _hardware(
        None,
        "Store the frozen weights of Linear layers in 8 bits (int8) or 4 bits (nf4) while "
        "training, with torchao.",
        unset="not quantized",
    )
    compile: bool = _hardware(False, "Compile the training step with torch.compile.")
    num_workers: int = _hardware(
        0,
        "Number of worker processes that load images. 0 uses the main process.",
        ge=0,
        le=_MAX_INT,
    )

    # Output
    output_dir: _Text = _output(
        "runs", "Folder in which to create the run folder.", metavar="FOLDER"
    )
    name: str | None = _output(
        None, "Name of the run folder.", metavar="NAME", unset="<time>-<spec>-<plan>"
    )
    save_interval: float = _output(
        120.0, "Seconds between checkpoints within an epoch.", metavar="SECONDS", ge=0, le=1e30
    )
    track: Service | None = _output(
        None,
        "Log options, metrics and reports to Weights & Biases or MLflow as well.",
        unset="no tracking",
    )
    feature_cache: Annotated[str, BeforeValidator(as_cache_folder)] = _output(
        "auto",
        "Where to cache the activations of frozen layers: a folder, auto (.activations in the "
        "output folder) or off.",
        metavar="FOLDER",
    )
    feature_cache_size: float = _output(
        20.0, "Maximum size of the feature cache, in GiB.", metavar="GIB", ge=0, le=1e9
    )

    def __init__(self, **values: Any) -> None:
        values = {name: value for name, value in values.items() if value is not None}
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UsageError(_problems(error, values)) from None

    @model_validator(mode="after")
    def _check_together(self) -> TrainOptions:
        if self.phases and self.model_fields_set & {"freeze", "epochs"}:
            message = "phases have their own plans and epochs: leave freeze and epochs out"
            raise option_error(message)
        if self.label_smoothing and self.focal_gamma:
            raise option_error("label_smoothing and focal_gamma are two losses: choose one")
        if self.quantize and self.compile:
            raise option_error("quantize and compile do not work together: choose one")
        return self

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, with their values."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    def monitoring(self, monitors: Sequence[str]) -> TrainOptions:
        """The options with a monitor: the first of a task's, unless one of them was given.

        Raises:
            UsageError: E801, the task has no such figure.
        """
        if self.monitor is None:
            return self.model_copy(update={"monitor": monitors[0]})
        if self.monitor not in monitors:
            message = f"the task has no {self.monitor} to monitor"
            raise UsageError(Problem("E801", message, hint=f"it has {', '.join(monitors)}"))
        return self

    def resolved(self, plans: Container[str] = ()) -> TrainOptions:
        """The options with phases, in place of freeze and epochs, and all that follows from others.

        Args:
            plans: names of the spec's freeze plans; ``none`` means no freezing unless it is one.
        """
        phases = self.phases or (Phase(self.freeze, self.epochs),)
        if "none" not in plans:
            phases = [replace(one, plan=None) if one.plan == "none" else one for one in phases]
        changes: dict[str, Any] = {"phases": tuple(phases), "freeze": None, "epochs": 3}
        if self.warmup is None:
            changes["warmup"] = _WARMUP.get(self.schedule, 0.1)
        if self.feature_cache not in ("auto", "off"):
            changes["feature_cache"] = str(Path(self.feature_cache).absolute())
        return self.model_copy(update=changes)

    def with_epochs(self, epochs: int) -> TrainOptions:
        """The resolved options with one more phase, of the last plan, and without a step limit.

        Raises:
            UsageError: E801, that is no number of epochs.
        """
        checked = TrainOptions(epochs=epochs).epochs
        return self.model_copy(
            update={
                "phases": (*self.phases, Phase(self.phases[-1].plan, checked)),
                "max_steps": None,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Resolved options as plain data; ``TrainOptions(**data)`` reads them back."""
        return self.model_dump(mode="json", exclude={"freeze", "epochs"})


def _problems(error: ValidationError, values: Mapping[str, Any]) -> Iterable[Problem]:
    """One problem for each option that is wrong."""
    infos = option_infos(TrainOptions)
    found: dict[Any, Problem] = {}
    for one in error.errors(include_url=False):
        name = one["loc"][0] if one["loc"] else ""
        if one["type"] == "option":
            context: Any = one.get("ctx")
            problem = Problem("E801", context["message"], hint=context["hint"])
        elif one["type"] == "extra_forbidden":
            hint = did_you_mean(str(name), infos)
            problem = Problem("E801", f"no option '{name}'", hint=hint)
        else:
            info, value = infos[str(name)], values[str(name)]
            hint = did_you_mean(str(value), info.choices)
            must_be = info.must_be
            limit = one.get("ctx", {}).get("le")
            if limit is not None and info.high is None:  # a bound that is not stated otherwise
                must_be = f"must be at most {limit:,}"
            problem = Problem("E801", f"{name} {must_be}, not {shown(value)}", hint=hint)
        found.setdefault(name, problem)
    return list(found.values())
