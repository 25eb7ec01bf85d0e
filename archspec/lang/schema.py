"""The shape of a spec as pydantic models: which keys there are and what kind of value each holds.

These models are plain, immutable data. What needs more than one key to judge (names, expressions,
arguments) is checked by the layers above; places are found by path in the document.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    StringConstraints,
    Tag,
    model_validator,
)

IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*$"
TARGETS = rf"^{IDENTIFIER[1:-1]}(\s*,\s*{IDENTIFIER[1:-1]})*$"
PYTHON_TYPES = ("bool", "int", "float")  # of inputs that are no tensors
ANY_DIMENSIONS = "..."  # in a shape: any number of dimensions, also none
PARAM_TYPES = ("int", "float", "bool", "str", "block", "layer")
ONE_OR_LIST = {f"{name} | list[{name}]": name for name in PARAM_TYPES[:4]}
"""The types of what may be one value or a list of such → the type of one."""
DType = Literal[
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"
]  # fmt: skip
InputType = Literal[
    "bool", "int", "float", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16",
    "float32", "float64",
]  # fmt: skip

Name = Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=100)]
ModuleName = Annotated[str, StringConstraints(pattern=r"^[^.\s{}$]+$", max_length=100)]
Scalar = bool | int | float | str | None
# Lists nest no deeper than the document itself may.
Value = Any
Text = Annotated[str, StringConstraints(max_length=2_000)]


def is_type_name(text: str) -> bool:
    """Whether ``text`` names a parameter type: ``int``, ``list[float]``, ``int | list[int]``, …"""
    return text in ONE_OR_LIST or item_type(text) in PARAM_TYPES


def item_type(kind: str) -> str:
    """The type of the items of a list, and of any other value itself.

    >>> item_type("list[int]"), item_type("int | list[int]"), item_type("int")
    ('int', 'int', 'int')
    """
    kind = ONE_OR_LIST.get(kind, kind)
    return kind[5:-1] if kind.startswith("list[") and kind.endswith("]") else kind


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Param(Model):
    """A hyperparameter. ``x: 3`` is short for ``{default: 3}``, ``x: int`` for ``{type: int}``."""

    type: str | None = Field(
        None, description="int, float, bool, str, block, layer, list[…] or int | list[int]"
    )
    default: Value = Field(None, description="left out: the parameter is required")
    min: int | float | None = Field(None, description="smallest value allowed")
    max: int | float | None = Field(None, description="largest value allowed")
    choices: list[Scalar] | None = Field(None, min_length=1, description="the values allowed")
    nullable: bool = Field(False, description="null may be given, and means the default")
    help: Text = Field("", description="what it is, in a sentence")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        if isinstance(data, dict):
            return cast(object, data)
        if isinstance(data, str) and is_type_name(data):
            return {"type": data}
        return {"default": data}

    @property
    def required(self) -> bool:
        return "default" not in self.model_fields_set


Dimension = Annotated[int, Field(ge=0)] | str


class Contract(Model):
    """What an input or output looks like: a tensor, a list of tensors, or a number of Python's.

    ``x: [batch, 3]`` is short for ``{shape: [batch, 3]}``, ``xs: [[batch, 3]]`` for a list of such
    tensors, and ``flag: bool`` for ``{dtype: bool}``: without a shape it is no tensor.
    """

    shape: list[Dimension | list[Dimension]] | None = Field(
        None,
        description="sizes, symbolic names, or $expressions, and once ... for any dimensions; "
        "in double brackets: of a list",
    )
    dtype: InputType | None = Field(
        None, description="left out: floating point; without a shape: bool, int or float"
    )
    optional: bool = Field(False, description="may be None")
    keyword: bool = Field(False, description="an input that is given by name only")
    below: int | str | None = Field(None, description="integers lie in [0, below)")
    length: int | str | None = Field(None, description="how many tensors a list has")
    index: Name | None = Field(
        None, description="in the shape of a list: the name of a tensor's number, from 0"
    )
    default: bool | int | float | None = Field(
        None, description="of an input that is no tensor; left out: it must be given"
    )
    when: bool | str = Field(True, description="an output that is left out unless true")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        if isinstance(data, str) and data in PYTHON_TYPES:
            return {"dtype": data}
        return {"shape": cast(object, data)} if isinstance(data, list) else data

    @property
    def is_list(self) -> bool:
        """Whether it is a list of tensors."""
        return self.shape is not None and any(isinstance(size, list) for size in self.shape)

    @property
    def is_tensor(self) -> bool:
        """Whether it is one tensor."""
        return self.shape is not None and not self.is_list

    @property
    def is_size(self) -> bool:
        """Whether it is an integer of Python's, which may stand in the shapes of others."""
        return self.shape is None and self.dtype == "int"

    @property
    def sizes(self) -> list[Dimension]:
        """The sizes of the tensor, or of each tensor in a list."""
        found: list[Dimension] = []
        for size in self.shape or ():
            found += size if isinstance(size, list) else [size]
        return found

    @property
    def open_at(self) -> int | None:
        """The place of ``...``, where any number of dimensions may stand; None without one."""
        return next((i for i, size in enumerate(self.sizes) if size == ANY_DIMENSIONS), None)

    @property
    def may_be_left_out(self) -> bool:
        """Whether a call need not give it."""
        return self.optional or self.default is not None


def _kind(data: object) -> str:
    return "mapping" if isinstance(data, dict) else "list"


class Module(Model):
    """A child module: its type, the reserved keys, and the layer's own keyword arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    type: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] = Field(
        description="a block, a layer, or an $expression that gives one's name"
    )
    when: bool | str = Field(True, description="left out, or emptied if a container, unless true")
    repeat: int | str | None = Field(None, description="how many times this item occurs")
    index: Name | None = Field(None, description="the name of the repeat counter")
    name: Text | None = Field(None, description="name of the item, such as layer_{i}")
    items: Items | None = Field(None, description="the children of a container")
    renamed_from: str | None = Field(None, description="an older path of this module")

    @property
    def arguments(self) -> dict[str, Any]:
        return self.model_extra or {}


def _names(data: object) -> object:
    return [name.strip() for name in data.split(",")] if isinstance(data, str) else data


class Group(Model):
    """Items that are repeated together."""

    repeat: int | str | None = Field(None, description="how many times the items occur")
    index: Name | None = Field(None, description="the name of the counter of rounds")
    each: Annotated[list[Name], BeforeValidator(_names), Field(min_length=1)] | None = Field(
        None, description="what the values of one round are called: t, c"
    )
    over: list[Value] | str | None = Field(
        None, alias="in", description="a list with the values of each round, or an $expression"
    )
    carry: dict[Name, Annotated[list[Value], Field(min_length=2, max_length=2)]] = Field(
        {}, description="running values: name: [first value, value after each round]"
    )
    items: list[Item] = Field(min_length=1, description="the items of one round")


def _item_kind(data: object) -> str:
    keys = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    is_group = not {"items", "each", "in", "carry"}.isdisjoint(keys) or keys.keys() == {"repeat"}
    is_group = is_group and "type" not in keys
    return "group" if is_group or isinstance(data, Group) else "module"


Item = Annotated[
    Annotated[Module, Tag("module")] | Annotated[Group, Tag("group")], Discriminator(_item_kind)
]
Items = Annotated[
    Annotated[list[Item], Tag("list")] | Annotated[dict[ModuleName, Module], Tag("mapping")],
    Discriminator(_kind),
]
Initialiser = Annotated[str, StringConstraints(min_length=1)] | dict[str, dict[str, Value]]


def _as_text(value: object) -> object:
    """YAML reads ``0.5``, ``null`` and ``[x, y]`` as values; as expressions they are text again."""
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    items = cast("list[object]", value) if isinstance(value, list) else []
    texts = [_as_text(item) for item in items]
    if isinstance(value, list) and all(isinstance(text, str) for text in texts):
        return f"[{', '.join(map(str, texts))}]"
    return cast("object", value)


Expr = Annotated[str, BeforeValidator(_as_text)]
Targets = Annotated[str, StringConstraints(pattern=TARGETS, max_length=1_000)]


class Assign(RootModel[Annotated[dict[Targets, Expr], Field(min_length=1, max_length=1)]]):
    """``{target: expression}``, where target is ``a`` or ``a, b``."""

    model_config = ConfigDict(frozen=True, strict=True)

    @property
    def key(self) -> str:
        return next(iter(self.root))

    @property
    def targets(self) -> tuple[str, ...]:
        return split_targets(self.key)

    @property
    def value(self) -> str:
        return self.root[self.key]


def _no_gaps(data: object) -> object:
    """``{return: {a, b}}`` is a mapping of nothing."""
    if isinstance(data, dict) and None in data.values():
        raise ValueError("a name without a value")
    return cast("object", data)


Named = Annotated[dict[Name, Expr], Field(min_length=1), BeforeValidator(_no_gaps)]


class Return(Model):
    """``{return: expression}``, or ``{return: {name: expression}}`` for a dict of them."""

    value: Annotated[
        Annotated[Expr, Tag("one")] | Annotated[Named, Tag("named")],
        Discriminator(lambda data: "named" if isinstance(data, dict) else "one"),
    ] = Field(alias="return", description="what the block returns: a, or a, b, or {out: a, aux: b}")


class For(Model):
    """``{for: x in layers, do: [steps]}``."""

    loop: Annotated[str, StringConstraints(pattern=rf"^{TARGETS[1:-1]} in .+$")] = Field(
        alias="for", description="x in layers; also enumerate(…), zip(…), range(…)"
    )
    do: list[Step] = Field(min_length=1, description="the steps of the loop")

    @property
    def targets(self) -> tuple[str, ...]:
        return split_targets(self.loop.partition(" in ")[0])

    @property
    def iterable(self) -> str:
        return self.loop.partition(" in ")[2]


def split_targets(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _step_kind(data: object) -> str:
    keys = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    if isinstance(data, For) or "for" in keys or "do" in keys:
        return "for"
    return "return" if isinstance(data, Return) or "return" in keys else "assign"


Step = Annotated[
    Annotated[Assign, Tag("assign")]
    | Annotated[Return, Tag("return")]
    | Annotated[For, Tag("for")],
    Discriminator(_step_kind),
]


def _value_kind(data: object) -> str:
    return "steps" if isinstance(data, list) else "text"


class Tensor(Model):
    """A raw parameter of a block."""

    shape: list[Dimension] | None = Field(
        None, description="sizes: integers or $expressions; left out: those of the value"
    )
    dtype: DType | None = Field(None, description="left out: floating point, or that of the value")
    init: Initialiser = Field("zeros_", description="how it starts: a function of torch.nn.init")
    value: (
        Annotated[
            Annotated[str, Tag("text")]
            | Annotated[Annotated[list[Step], Field(min_length=1)], Tag("steps")],
            Discriminator(_value_kind),
        ]
        | None
    ) = Field(None, description="what it starts as: an $expression of parameters, or steps")
    when: bool | str = Field(True, description="left out unless true")


class Buffer(Tensor):
    """A raw buffer of a block."""

    persistent: bool = Field(True, description="whether it is part of the state_dict")


class Method(Model):
    """A further method of a block, beside forward; a list is short for ``{forward: […]}``."""

    inputs: dict[Name, Contract] | None = Field(
        None, description="what it takes, in order; left out: what forward takes"
    )
    outputs: dict[Name, Contract] = Field({}, description="what it returns, in order")
    forward: list[Step] = Field(min_length=1, description="the steps")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        return {"forward": cast(object, data)} if isinstance(data, list) else data


def _one_or_more(data: object) -> object:
    return [data] if isinstance(data, str) else data


Patterns = Annotated[list[str], BeforeValidator(_one_or_more), Field(min_length=1)]


class InitRule(Model):
    """How the parameters of the matched modules start: ``weight: {normal_: {std: 0.02}}``."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Initialiser] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    match: Patterns = Field(description="@LayerType or path patterns")

    @property
    def fills(self) -> dict[str, Initialiser]:
        return self.__pydantic_extra__ or {}


class Tie(Model):
    """The parameter that another one shares. ``a.weight`` is short for ``{to: a.weight}``."""

    to: str = Field(description="the path of the parameter that has the value")
    when: bool | str = Field(True, description="not shared unless true")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        return {"to": data} if isinstance(data, str) else data


class FreezePlan(Model):
    """What is frozen. A plain list of patterns is short for ``{patterns: […]}``."""

    patterns: list[str] = Field(description="in order: pattern freezes, !pattern unfreezes")
    gradients: bool = Field(default=True, description="frozen parameters get no gradient")
    statistics: bool = Field(
        default=True, description="frozen BatchNorm keeps its running statistics"
    )
    dropout: bool = Field(default=True, description="frozen dropout is off")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: object) -> object:
        return {"patterns": cast(object, data)} if isinstance(data, list) else data


class Adapter(Model):
    """Small trained parts in the place of layers, whose own weights stay frozen."""

    match: Patterns = Field(description="the layers; !pattern takes back, as in a freeze plan")
    kind: Literal["lora", "dora", "ia3"] = Field(description="what takes the place of a layer")
    rank: int = Field(default=8, ge=1, le=65_536, description="of the update, for lora and dora")
    alpha: int | float = Field(
        default=8,
        gt=0,
        le=1e6,
        allow_inf_nan=False,
        description="the update is scaled by alpha / rank, for lora and dora",
    )
    rslora: bool = Field(
        default=False, description="the update is scaled by alpha / sqrt(rank), for lora and dora"
    )
    dropout: int | float = Field(
        default=0.0, ge=0, lt=1, description="of the update's input, for lora and dora"
    )
    feedforward: Annotated[list[str], BeforeValidator(_one_or_more)] = Field(
        default=[], description="of the layers, those whose input ia3 scales; of the others, output"
    )
    train: Annotated[list[str], BeforeValidator(_one_or_more)] = Field(
        default=[], description="what else is trained, as a whole, such as the classifier"
    )

    @property
    def scaling(self) -> float:
        """The factor of the update; with ``rslora`` that of Kalajdzievski 2023, arXiv:2312.03732.

        >>> Adapter(match=["fc"], kind="lora", rank=16, alpha=8, rslora=True).scaling
        2.0
        """
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class Block(Model):
    """A class of modules."""

    params: dict[Name, Param] = Field({}, description="the block's own parameters")
    let: dict[Name, Value] = Field({}, description="local values: a value or $expression each")
    inputs: dict[Name, Contract] = Field({}, description="what forward takes, in order")
    outputs: dict[Name, Contract] = Field({}, description="what forward returns, in order")
    modules: dict[Name, Module] = Field({}, description="the children, in order")
    items: Items | None = Field(
        None, description="in place of modules and forward: the children of a Sequential"
    )
    parameters: dict[Name, Tensor] = Field({}, description="raw parameters")
    buffers: dict[Name, Buffer] = Field({}, description="raw buffers")
    forward: list[Step] | None = Field(
        None, min_length=1, description="the steps; left out, the modules run in order"
    )
    init: list[InitRule] = Field(
        [], description="where it is the root: rules behind those at the top"
    )
    methods: dict[Name, Method] = Field({}, description="further methods, beside forward")
    freeze: dict[str, FreezePlan] = Field(
        {}, description="where it is the root: plans beside those at the top"
    )


class Joined(Model):
    """Tensors that are several on one side, and one on the other."""

    ours: Patterns = Field(description="our pattern; of several tensors a list, or # for a number")
    theirs: Patterns = Field(description="the foreign pattern, or patterns, alike")
    dim: int = Field(default=0, description="the dimension of the one tensor along which they lie")
    sizes: list[Annotated[int, Field(ge=1, le=1_000_000_000)]] = Field(
        default=[],
        description="of a split of our one tensor: the parts' sizes, or their ratio; else equal",
    )


Size = Annotated[int, Field(ge=-1, le=1_000_000_000)]


class Checkpoint(Model):
    """A foreign layout of the weights: its names, as they differ from ours."""

    rename: dict[str, str] = Field(default={}, description="our pattern: the foreign pattern")
    then: dict[str, str] = Field(
        default={}, description="the same once more, over the names that rename gives"
    )
    split: list[Joined] = Field(
        default=[], description="tensors that lie behind each other in one on the other side"
    )
    stack: list[Joined] = Field(
        default=[], description="tensors, numbered by #, that one has as a dimension of its own"
    )
    transpose: list[str] = Field(
        default=[], description="our tensors whose last two dimensions are swapped there"
    )
    reshape: dict[str, Annotated[list[Size], Field(min_length=1, max_length=8)]] = Field(
        default={},
        description="our pattern: the shape there; 0 is our size in that place, -1 what is left",
    )
    prefix: str = Field(default="", description="what every foreign name begins with")
    require: dict[Name, Value] = Field(
        default={}, description="parameter: the value, or a list of those, that it has to have"
    )
    ignore: list[str] = Field(default=[], description="foreign names that are left unread")
    optional: list[str] = Field(default=[], description="our names that may be missing")


Key = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
Sources = Annotated[list[Key], BeforeValidator(_one_or_more), Field(min_length=1, max_length=100)]


class Config(Model):
    """How a file such as Hugging Face's config.json becomes the values of the parameters.

    Keys of the file are dotted paths: ``rope_parameters.rope_theta``.
    """

    model_type: Annotated[list[Key], BeforeValidator(_one_or_more)] = Field(
        default=[], description="the model_type of the files, or a list of those they may have"
    )
    architectures: Annotated[list[Key], BeforeValidator(_one_or_more)] = Field(
        default=[], description="the classes of the files; left out: the name of the model"
    )
    read: dict[Name, Sources] = Field(
        default={},
        description="parameter: a key, len(key), or a list of these; left out: its own name",
    )
    require: dict[Key, Value] = Field(
        default={}, description="key: the value that it must have, or a list of those it may have"
    )
    refuse: dict[Key, Value] = Field(
        default={}, description="key: the value, or a list of those, that it must not have"
    )
    defaults: dict[Key, Value] = Field(
        default={},
        description="key: what it means to leave it out; left out: what the parameter says",
    )
    if_null: dict[Key, Value] = Field(
        default={}, description="key: what null means there; left out: the same as to leave it out"
    )
    ignore: list[Key] = Field(default=[], description="keys that say nothing about the function")


Pooling = Literal["mean", "cls", "max", "mean-sqrt-len", "weighted-mean", "last-token"]


class TextInput(Model):
    """How text becomes the model's input."""

    tokenizer: str = Field(default="tokenizer.json", description="the tokenizer's file")
    max_length: int = Field(default=512, ge=1, description="tokens")
    pair: bool | None = Field(
        default=None, description="whether the input is a pair of texts; null: as the data has it"
    )
    pooling: Pooling | None = Field(
        default=None, description="how the model makes its embedding of the tokens'"
    )
    normalize: bool | None = Field(default=None, description="whether embeddings have length 1")


class ImageInput(Model):
    """How an image becomes the model's input."""

    channels: Literal[1, 3] = Field(default=3, description="1 for grey, 3 for colour")
    resize: int = Field(default=256, ge=1, le=16_384, description="pixels of the shorter side")
    stretch: bool = Field(
        default=False, description="the longer side is resized to as many, whatever the shape"
    )
    crop: int = Field(default=224, ge=1, le=16_384, description="pixels")
    interpolation: Literal["bilinear", "bicubic"] = Field(
        default="bilinear", description="of resizing, with antialiasing"
    )
    mean: list[float] = Field(
        default=[0.485, 0.456, 0.406], description="of each channel, subtracted"
    )
    std: list[float] = Field(
        default=[0.229, 0.224, 0.225], description="of each channel, divided by"
    )
    augment: Literal["auto", "none", "flip", "shift-flip", "resized-crop-flip"] = Field(
        default="auto", description="how images vary in training; auto: by their size"
    )


TaskKind = Literal[
    "text-classification",
    "text-regression",
    "token-classification",
    "question-answering",
    "image-classification",
    "image-segmentation",
    "text-embedding",
    "masked-lm",
    "causal-lm",
]


class Task(Model):
    """What the model is for."""

    kind: TaskKind = Field(description="what goes in and what comes out")
    text: TextInput | None = Field(default=None, description="how text becomes the model's input")
    image: ImageInput | None = Field(
        default=None, description="how an image becomes the model's input"
    )
    labels: list[str] | None = Field(default=None, description="the names of the classes, in order")
    multi_label: bool | None = Field(
        default=None,
        description="whether an input may have several classes, or none; null: as the data has it",
    )


class Architecture(Model):
    """A whole spec, after ``extends`` has been resolved."""

    archspec: Literal[1] = Field(description="version of the language")
    model: Name = Field(description="the block that is the root")
    description: Text = Field("", description="what the model is, in a sentence")
    paper: Text = Field("", description="where it comes from: authors, year, title, arXiv id")
    extends: str | None = Field(None, description="the parent: a path, or a packaged spec's name")
    remove: list[str] = Field([], description="dotted paths deleted from the parent")
    rename: dict[Name, Name] = Field({}, description="a block of the parent: its name here")
    use: list[str] = Field([], description="files whose blocks are taken: as for extends")
    params: dict[Name, Param] = Field({}, description="hyperparameters, visible in every block")
    let: dict[Name, Value] = Field(
        {}, description="values computed from the parameters, visible in every block"
    )
    dims: dict[Name, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        {}, description="sizes of the symbolic dimensions when the spec is inspected"
    )
    blocks: dict[Name, Block] = Field(description="the classes", min_length=1)
    init: list[InitRule] = Field([], description="weight initialisation; later rules win")
    tie: dict[str, Tie] = Field({}, description="parameter path: the path whose tensor it shares")
    freeze: dict[str, FreezePlan] = Field({}, description="named freeze plans")
    adapters: dict[Name, Adapter] = Field({}, description="named adapters")
    adapter: Name | None = Field(None, description="the adapter that is applied, by its name")
    checkpoints: dict[str, Checkpoint] = Field({}, description="named foreign layouts")
    config: Config | None = Field(None, description="how a config.json sets the parameters")
    task: Task | None = Field(None, description="what the model is for")
