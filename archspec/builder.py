"""From a spec to a module on its device: compile, construct, check shapes, fill, freeze."""

from __future__ import annotations

import copyreg
import functools
import hashlib
import keyword
import linecache
import logging
import operator
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from archspec.building.adapter_values import set_magnitudes
from archspec.building.built_specs import register_spec
from archspec.building.devices import check_memory, pick_device, pick_dtype
from archspec.building.forward_errors import instance_text
from archspec.building.initial_values import draw_seed, fill, needs_construction, seed_generators
from archspec.building.shapes import check_shapes
from archspec.building.tensor_values import (
    MetaValues,
    ValueFailed,
    check_value_shapes,
    within_limits,
)
from archspec.codegen import Generated, generate
from archspec.codegen.verify import verify
from archspec.errors import BuildError, Note, Place, Problem, UsageError, listing
from archspec.freezing import freeze as apply_plan
from archspec.lang.instances import walk
from archspec.lang.registry import functions, layers
from archspec.lang.spec import Spec
from archspec.report.text import first_line, printable
from archspec.tracing.meta_run import WithoutInitialValues
from archspec.weights import Checkpoint, WeightsReport, assign
from archspec.weights.adapter_files import as_adapted_spec, load_folder, tensors_of_folder
from archspec.weights.folding import left_unread, resized
from archspec.weights.tensor_names import Choices, Resize

_logger = logging.getLogger(__name__)


def to_python(source: str | os.PathLike[str] | Spec, **params: Any) -> str:
    """The Python source that ``build`` compiles: plain PyTorch, with no trace of archspec.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        **params: values for the spec's parameters; they become the defaults of ``Config``.

    Raises:
        SpecError: every problem of the spec.
        BuildError: E504, a defect of archspec: the source holds what no spec can ask for.

    Example:
        >>> to_python("resnet18").splitlines()[0]
        '\"\"\"ResNet-18, ImageNet classification.'
    """
    return generate(as_adapted_spec(source, params)).text


def build(
    source: str | os.PathLike[str] | Spec,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype | None = None,
    weights: str | os.PathLike[str] | None = None,
    layout: str | None = None,
    key: str | None = None,
    ignore: Iterable[str] = (),
    allow_missing: Iterable[str] = (),
    resize: Mapping[str, Resize] | None = None,
    allow_partial: bool = False,
    freeze: str | Sequence[str] | None = None,
    seed: int | None = None,
    **params: Any,
) -> nn.Module:
    """Build the module that a spec describes.

    The module is made on the ``meta`` device, its shapes are checked there by running it once on
    tensors without data, and only then are its tensors given memory: those in ``weights`` are
    assigned, all others filled as the spec's ``init`` rules or PyTorch's defaults have it.

    Args:
        source: a path, a packaged spec's name, ``hf:FOLDER``, or a Spec.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or
            ``meta`` (no memory at all).
        dtype: of floating-point parameters and buffers; float32 if left out.
        weights: a safetensors file, one of ``torch.save``, or a folder with
            ``model.safetensors`` or ``pytorch_model.bin``; on ``meta`` it is only checked that they
            fit. Left out, those of the folder in ``hf:FOLDER``, but for ``meta``.
        layout: how ``weights`` names the tensors: a name from the spec's ``checkpoints``, or
            ``archspec`` for the model's own names; left out, the one that fits best. Parameters
            that the weights may lack, and tensors of theirs that the layout leaves unread, are
            reported by this module's logger.
        key: under which the weights stand in the file, as ``load_weights`` takes it.
        ignore: tensors of the weights that are left unread, as ``load_weights`` takes it.
        allow_missing: tensors that the weights may lack; these get initial values.
        resize: tensors that may have another shape in the weights, as ``load_weights`` takes it.
        allow_partial: whether most of the model may take nothing of the weights.
        freeze: the name of one of the spec's freeze plans, or patterns.
        seed: makes the initial values the same at every call, each layer's independent of all
            others; left out, it is drawn from PyTorch's global generator.
        **params: values for the spec's parameters; ``model`` is the name of a block that is the
            root in place of the one that the spec names, ``adapter`` an adapter, as ``load`` takes
            it, or a folder with the files of one, as PEFT writes them, whose weights are loaded.

    Returns:
        The module, in training mode, as a constructor gives it.

    Raises:
        SpecError: the spec is wrong.
        ShapeError: tensors in its forward do not fit together.
        BuildError: the device is missing, or the model does not fit into its memory.
        WeightsError: the weights cannot be read, or do not fit.
        UsageError: an argument makes no sense.
        FreezeError: no such plan, or a pattern that selects nothing.

    Example:
        >>> model = build("bert", device="meta", num_labels=3)
        >>> sum(p.numel() for p in model.parameters())
        109484547
    """
    spec = as_adapted_spec(source, params)
    where, kind = pick_device(device), pick_dtype(dtype)
    if weights is None and where.type != "meta":
        weights = spec.weights
    choices = Choices.checked(ignore, allow_missing, resize, allow_partial)
    loading = {"layout": layout is not None, "key": key is not None, **choices.given}
    if weights is None and (names := [name for name, is_given in loading.items() if is_given]):
        message = f"{names[0]} says how weights are read: give weights, too"
        raise UsageError(Problem("E801", message))
    generated = generate(spec)
    module = compiled(generated.text, spec.name)
    model = _construct(spec, generated, module, torch.device("meta"))
    check_value_shapes(spec, model)
    check_shapes(spec, model, generated, module)
    if freeze is not None:  # before any memory is spent: a plan may not fit
        apply_plan(model, freeze, spec=spec)
    checkpoint = (
        Checkpoint.open(weights, spec, model, choices, layout=layout, key=key)
        if weights is not None
        else None
    )
    if where.type == "meta":
        model = model.to(kind) if kind is not None else model
    else:
        check_memory(spec, model, where, kind)
        seed = draw_seed() if seed is None else seed
        if needs_construction(model):
            model = _construct(spec, generated, module, where, seed)
            model = model.to(kind) if kind is not None else model
            if freeze is not None:
                apply_plan(model, freeze, spec=spec)
        given = checkpoint.tensors(where, kind) if checkpoint is not None else {}
        try:
            fill(model, generated, module, where, kind, seed, given)
        except (RuntimeError, ValueError, IndexError, TypeError, ArithmeticError) as error:
            raise _filling_error(spec, generated, module, error) from error
        assign(model, given)
        if checkpoint is not None:
            checkpoint.copy_resized(model, spec)
        set_magnitudes(model, spec, given)
        if spec.adapter_weights is not None:
            load_folder(model, spec)
    register_spec(model, spec)
    if checkpoint is not None:
        _reports[model] = report = checkpoint.examination.report
        _tell(report, spec)
    return model


# Beside the modules, as the specs that they were built from.
_reports: WeakKeyDictionary[nn.Module, WeightsReport] = WeakKeyDictionary()


def weights_report(model: nn.Module) -> WeightsReport | None:
    """What became of the weights that ``build`` was given; None without any, and of a copy."""
    return _reports.get(model)


def _tell(report: WeightsReport, spec: Spec) -> None:
    """What of the model and of the file was left out on purpose, by this module's logger."""
    files = listing([Path(file).name for file in report.files])
    brought = tensors_of_folder(spec)
    fresh = [name for name in report.fresh if name not in brought]
    fresh = [name for name in fresh if spec.adapter is None or not spec.adapter.is_own(name)]
    if fresh:
        names = f"{len(fresh)} tensors, which start anew: {listing(fresh)}"
        _logger.warning("%s: without %s", files, names)
    for line in filter(None, (resized(report.rows), left_unread(report.rows))):
        _logger.warning("%s: %s", printable(files), printable(line))


# -------------------------------------------------------------------------------------- compiling


Known = tuple[tuple[str, str], ...]  # modules, and names in them


@functools.lru_cache(maxsize=256)
def compiled(text: str, name: str, known: Known = ()) -> ModuleType:
    """Generated source as a module that the rest of Python can look into.

    It stands in ``sys.modules`` and ``linecache``, so that tracebacks and ``inspect.getsource``
    show it; its name and file are the same whenever the text is the same. Pickles carry the text
    along, so that another process can read them.

    Args:
        known: what the text may import beside what is registered here.

    Raises:
        BuildError: E504, the text is none that the generator prints.
    """
    verify(text, known)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    stem = re.sub(r"\W", "_", name, flags=re.ASCII)
    stem = f"spec_{stem}" if not stem.isidentifier() or keyword.iskeyword(stem) else stem
    module_name = f"{stem}_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    file = f"<{stem}.py {digest}>"
    module = ModuleType(module_name)
    module.__file__ = file
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[module_name] = module
    try:
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[module_name]
        raise
    if "initialize" in vars(module):
        vars(module)["initialize"] = _skipped_on_meta(module.initialize)
    reducer = _Reducer(text, name, _imported(module, known))
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module_name:
            copyreg.pickle(value, reducer)
            for method in [name for name in vars(value) if name.startswith("compute_")]:
                setattr(value, method, within_limits(vars(value)[method]))
            if issubclass(value, nn.Module) and value.forward.__code__.co_kwonlyargcount:
                value.forward = _naming_inputs(value.forward)
    return module


def _imported(module: ModuleType, known: Known) -> tuple[Any, ...]:
    """The classes and functions of trusted Python that a generated module uses."""
    things = (*layers.registered(), *functions.registered())
    names = dict.fromkeys([*known, *((thing.module, thing.qualname) for thing in things)])
    found: list[Any] = []
    for owner, qualname in names:
        head = qualname.partition(".")[0]
        here, there = vars(module).get(head), getattr(sys.modules.get(owner), head, None)
        if here is not None and here is there:
            found.append(operator.attrgetter(qualname)(sys.modules[owner]))
    return tuple(found)


_building = threading.local()


def _skipped_on_meta(initialize: Callable[..., None]) -> Callable[..., None]:
    """``build`` fills tensors once they have memory; on ``meta`` there is nothing to fill."""

    @functools.wraps(initialize)
    def initialize_unless_on_meta(*args: Any, **kwargs: Any) -> None:
        if not getattr(_building, "on_meta", False):
            initialize(*args, **kwargs)

    return initialize_unless_on_meta


def _naming_inputs(forward: Any) -> Callable[..., Any]:
    """Python's error for too many positional arguments counts them; this one says their names."""
    code = forward.__code__
    most = code.co_argcount
    names = code.co_varnames[most : most + code.co_kwonlyargcount]
    message = f"{forward.__qualname__}() takes {listing(names)} by name only: {names[0]}=…"

    @functools.wraps(forward)
    def named(*args: Any, **kwargs: Any) -> Any:
        if len(args) > most:
            raise TypeError(message)
        return forward(*args, **kwargs)

    return named


class _Reducer:
    """Pickles an object of a generated class together with the text of its module.

    What trusted Python registered goes along as pickles hold all classes, by reference: where it is
    read, it need not be registered, yet the text can import nothing else.
    """

    def __init__(self, text: str, name: str, imported: tuple[Any, ...]) -> None:
        self.text, self.name, self.imported = text, name, imported

    def __call__(self, instance: Any) -> tuple[Any, ...]:
        arguments = (self.text, self.name, type(instance).__qualname__, *self.imported)
        return _empty_instance, arguments, instance.__reduce_ex__(2)[2]


def _empty_instance(text: str, name: str, kind: str, *imported: Any) -> Any:
    known = tuple((thing.__module__, thing.__qualname__) for thing in imported)
    cls: Any = getattr(compiled(text, name, known), kind)
    return cls.__new__(cls)


# ------------------------------------------------------------------------------------ constructing


def _construct(
    spec: Spec,
    generated: Generated,
    module: ModuleType,
    device: torch.device,
    seed: int | None = None,
) -> nn.Module:
    """An instance of the root class; with a seed, PyTorch's global generator is left as it was."""
    root: Any = getattr(module, generated.root)
    _building.on_meta = device.type == "meta"
    try:
        with torch.device(device):
            if device.type == "meta":
                with WithoutInitialValues(), MetaValues():
                    return root()
            if seed is None:
                return root()
            devices = [device] if device.type == "cuda" else []
            with torch.random.fork_rng(devices):
                seed_generators(seed, device)
                return root()
    except MemoryError as error:
        raise BuildError(Problem("E503", f"not enough memory: {error}")) from error
    except Exception as error:
        raise _construction_error(spec, generated, module, error) from error
    finally:
        _building.on_meta = False


def _construction_error(
    spec: Spec, generated: Generated, module: ModuleType, error: Exception
) -> BuildError:
    """Which layer could not be made: the first that cannot be made by itself either."""
    if isinstance(error, ValueFailed):
        place = _place_of(spec, generated, module, error.__cause__ or error)
        return BuildError(Problem(error.code, error.message, place, error.hint))
    for path, instance in walk(spec.root):
        layer = layers.find(instance.type)
        if layer is None or layer.registered or instance.children:
            continue
        if any(isinstance(value, type(instance)) for value in instance.arguments.values()):
            continue  # a layer made of modules
        try:
            with torch.device("meta"):
                getattr(nn, layer.name)(**instance.arguments)
        except Exception as reason:
            message = f"{layer.name} cannot be constructed: {first_line(reason)}"
            place = spec.document.place(instance.path)
            note = Note(f"instance: {instance_text(path, instance.type)}")
            return BuildError(Problem("E501", message, place, notes=(note,)))
    place = _place_of(spec, generated, module, error)
    return BuildError(Problem("E501", f"{type(error).__name__}: {first_line(error)}", place))


def _filling_error(
    spec: Spec, generated: Generated, module: ModuleType, error: Exception
) -> BuildError:
    """The rule whose initializer refuses a tensor, such as one of too few dimensions."""
    place = _place_of(spec, generated, module, error)
    return BuildError(Problem("E501", f"no first values: {first_line(error)}", place))


def _place_of(
    spec: Spec, generated: Generated, module: ModuleType, error: BaseException
) -> Place | None:
    """Where in the spec the innermost line of generated source that failed was made from."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == module.__file__:
            path = generated.paths.get(traceback.tb_lineno)
            place = spec.document.place(path) if path else place
        traceback = traceback.tb_next
    return place
