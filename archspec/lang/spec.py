"""From a file, a name or a text to a checked ``Spec``: every layer of checks in one place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

from archspec.errors import ArchspecError, Findings, Problem, SpecError, TooManyProblems, UsageError
from archspec.lang import adapters, image_settings, inherit, json_file, model_folder, roots, yaml
from archspec.lang.adapters import AppliedAdapter, check_adapters
from archspec.lang.build_tree import read
from archspec.lang.checker import Checker
from archspec.lang.checks.arguments import check_declared
from archspec.lang.checks.branches import check_branches
from archspec.lang.checks.classes import check_classes
from archspec.lang.checks.layouts import LayoutChecker, check_requirements
from archspec.lang.checks.local_values import check_local_values
from archspec.lang.checks.steps import check_steps
from archspec.lang.checks.structure import validated
from archspec.lang.checks.task import check_task
from archspec.lang.config import (
    check_config,
    labels_of,
    overrides_from_config,
    with_labels,
)
from archspec.lang.everything import everything
from archspec.lang.expand import Instantiator
from archspec.lang.expr import Value, evaluate
from archspec.lang.inherit import Document
from archspec.lang.instances import Instance
from archspec.lang.json_file import JsonFile
from archspec.lang.layer_parts import entries
from archspec.lang.params import Override, Resolved, resolve
from archspec.lang.patterns import Tree
from archspec.lang.schema import Architecture, ImageInput, Param, Task
from archspec.lang.tree import SpecTree


@dataclass(frozen=True, eq=False)
class Spec:
    """A checked architecture with a value for every parameter.

    Attributes:
        name: the file's name without its suffix.
        architecture: the spec as pydantic models, parents merged in.
        tree: the same with every expression parsed, and every name resolved.
        params: each parameter's resolved value, its type, and where it was set.
        let: the values that ``let`` computes from the parameters.
        root: the tree of modules with their argument values.
        document: the text's tree, which knows every place.
        ignored: keys of a ``config.json`` that say nothing about the function of this model.
        overrides: what was given from outside, for a spec that is loaded anew with more.
        weights: the folder of the model that ``hf:FOLDER`` named; None for all others.
        adapter: the adapter that is applied; None for a plain model.
        base: the same spec without the adapter.
        adapter_weights: the folder that the adapter was read from; None for all others.

    Example:
        >>> spec = load("bert", num_labels=3)
        >>> spec.values["num_labels"], spec.root.type
        (3, 'BertForSequenceClassification')
    """

    name: str
    architecture: Architecture
    tree: SpecTree = field(repr=False)
    params: Mapping[str, Resolved]
    let: Mapping[str, Value]
    root: Instance
    document: Document = field(repr=False)
    ignored: tuple[str, ...] = ()
    overrides: Mapping[str, Override] = field(default_factory=dict[str, Override], repr=False)
    weights: Path | None = None
    adapter: AppliedAdapter | None = None
    base: Spec | None = field(default=None, repr=False)
    adapter_weights: Path | None = None

    @property
    def plain(self) -> Spec:
        """The spec without an adapter."""
        return self.base or self

    @property
    def values(self) -> dict[str, Value]:
        """Each parameter's value, and each of ``let``."""
        return {**{name: param.value for name, param in self.params.items()}, **self.let}

    @property
    def ties(self) -> dict[str, str]:
        """Path → the path of the parameter whose tensor it shares, with these values."""
        ties = self.tree.ties
        return {tie.name: tie.to for tie in ties if evaluate(tie.when, self.values)}

    @cached_property
    def everything(self) -> Tree | None:
        """The paths of a model in which no ``when`` leaves a module out; None if too large."""
        return everything(self.plain.document, self.plain.tree, self.values)

    @cached_property
    def idle(self) -> list[yaml.Path]:
        """Lines of ``checkpoints`` that apply to nothing, but to a parent or with other values."""
        plain = self.plain
        checker = Checker(plain.architecture, plain.document, Findings())
        unvaried = partial(_with_own_values, plain.document, plain.tree)
        layouts = LayoutChecker(
            checker, plain.tree, plain.root, self.values, lambda: self.everything, unvaried
        )
        return layouts.idle_lines()

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes: those of the task, else made-up ones of a config file."""
        task = self.architecture.task
        return tuple(task.labels) if task and task.labels else labels_of(self.overrides)

    def with_params(self, **params: Any) -> Spec:
        """The same spec with other values; raises as ``load``."""
        if not params:
            return self
        spec = _checked(self.plain.document, [], {**self.overrides, **_from_keywords(params)})
        spec = replace(self._for_same_task(spec), ignored=self.ignored, weights=self.weights)
        if adapters.CHOICE in params:
            return spec
        return replace(spec, adapter_weights=self.adapter_weights)

    def with_adapter(self, given: Override) -> Spec:
        """The same spec with another adapter; raises as ``load``."""
        spec = _checked(self.plain.document, [], {**self.overrides, adapters.CHOICE: given})
        spec = self._for_same_task(spec)
        return replace(spec, ignored=self.ignored, weights=self.weights)

    def _for_same_task(self, spec: Spec) -> Spec:
        """A spec of the same document for the task that this one is for."""
        task = self.architecture.task
        spec = spec.for_task(task.kind) if task else spec
        return spec.for_images(task.image) if task and task.image else spec

    def for_images(self, image: ImageInput) -> Spec:
        """The same spec, whose images are prepared in that way."""
        task = self.architecture.task
        if task is None or task.image == image:
            return self
        other = task.model_copy(update={"image": image})
        return replace(self, architecture=self.architecture.model_copy(update={"task": other}))

    def for_task(self, kind: str) -> Spec:
        """The same spec for another kind of task, without the labels of its own."""
        task = self.architecture.task
        if task is not None and task.kind == kind:
            return self
        given = task.model_dump() if task else {}
        other = Task.model_validate({**given, "kind": kind, "labels": None})
        return replace(self, architecture=self.architecture.model_copy(update={"task": other}))


def load(
    path_or_name: str | os.PathLike[str],
    *,
    config: str | os.PathLike[str] | None = None,
    **params: Any,
) -> Spec:
    """Read and check a spec.

    Args:
        path_or_name: a path, the name of a packaged spec such as ``"bert"``, or ``"hf:FOLDER"``
            for a folder of a Hugging Face model, whose ``config.json`` finds the packaged spec and
            sets its parameters; ``"hf:owner/name"`` fetches it from the hub.
        config: a JSON file whose keys set parameters, such as Hugging Face's ``config.json``, as
            the spec's ``config`` has it; keys that say nothing about the function of the model are
            listed in ``Spec.ignored``, all others are errors.
        **params: values for parameters; they win over ``config``. ``model`` is the name of a block
            that is the root in place of the one that the spec names, ``adapter`` the name of one of
            the spec's adapters, or a mapping that says what an adapter of a spec says.

    Raises:
        SpecError: every problem that could be found, each with its place.
        UsageError: E801 for anything but a path or a name, and for ``config`` beside ``hf:``.

    Example:
        >>> load("resnet18", num_classes=10).values["num_classes"]
        10
    """
    return load_with(_path_or_name(path_or_name), _from_keywords(params), _read(config))


def _path_or_name(given: object) -> str | os.PathLike[str]:
    if not isinstance(given, str | os.PathLike):
        message = f"a spec is a path, a packaged spec's name or a Spec, not {type(given).__name__}"
        raise UsageError(Problem("E801", message))
    if isinstance(given, str) and "\n" in given:
        raise UsageError(Problem("E801", "this is text", hint="use archspec.loads(text)"))
    return cast("str | os.PathLike[str]", given)


def loads(
    text: str,
    *,
    config: str | os.PathLike[str] | None = None,
    name: str = "<spec>",
    folder: str | os.PathLike[str] | None = None,
    **params: Any,
) -> Spec:
    """As ``load``, for the text of a spec.

    Args:
        text: YAML.
        config: as for ``load``.
        name: stands for the file in errors.
        folder: what the text may extend files of, as if it stood there; left out, the text can
            extend packaged specs only.
        **params: as for ``load``.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(Problem("E801", f"loads takes text, not {type(text).__name__}"))
    folder = None if folder is None else Path(folder)
    overrides = _from_keywords(params)
    return loads_with(text, overrides, name=name, folder=folder, config=_read(config))


def as_spec(given: str | os.PathLike[str] | Spec, params: Mapping[str, Any]) -> Spec:
    """The spec behind a public function's ``source`` argument.

    Raises:
        UsageError: E801 for anything but a path, a name or a Spec.
        SpecError: as ``load``.
    """
    return given.with_params(**params) if isinstance(given, Spec) else load(given, **params)


def load_with(
    path_or_name: str | os.PathLike[str],
    overrides: Mapping[str, Override],
    config: JsonFile | None = None,
    copy: Path | None = None,
) -> Spec:
    """As ``load``, with overrides that know where they come from.

    Args:
        copy: a file that is read in the spec's stead, such as another version of it.
    """
    if not model_folder.is_model_folder(path_or_name):
        document, problems = inherit.read(path_or_name, copy)
        return _checked(document, problems, overrides, config)
    if config is not None:
        message = f"{path_or_name} has a config.json of its own"
        raise UsageError(Problem("E801", message, hint="leave config out"))
    folder = model_folder.read(str(path_or_name))
    spec = _checked(*inherit.read(folder.spec), overrides, folder.config)
    task = spec.architecture.task
    if task is not None and task.kind == "image-classification":
        spec = spec.for_images(image_settings.read(folder.path, task.image or ImageInput()))
    return replace(spec, weights=folder.path)


def loads_with(
    text: str,
    overrides: Mapping[str, Override],
    *,
    name: str,
    folder: Path | None,
    config: JsonFile | None = None,
) -> Spec:
    """As ``loads``, with overrides that know where they come from."""
    document, problems = inherit.read_text(text, name, folder)
    return _checked(document, problems, overrides, config)


def params_of(
    text: str, overrides: Mapping[str, Override], *, name: str, folder: Path | None
) -> tuple[Mapping[str, Param], Mapping[str, Resolved]]:
    """The parameters that a text declares, and those with a value, though the spec may be wrong.

    Both are empty if the text cannot be read.
    """
    findings = Findings()
    with contextlib.suppress(ArchspecError, TooManyProblems):
        document, _ = inherit.read_text(text, name, folder)
        architecture = validated(document, findings)
        if architecture is not None:
            checker = Checker(architecture, document, findings)
            return architecture.params, resolve(checker, read(checker), overrides)[0]
    return {}, {}


def _read(config: str | os.PathLike[str] | None) -> JsonFile | None:
    return None if config is None else json_file.read(Path(config))


def _from_keywords(params: Mapping[str, Any]) -> dict[str, Override]:
    return {name: Override(value, f"{name}=…") for name, value in params.items()}


# ------------------------------------------------------------------------------------------ checks


def _checked(
    document: Document,
    problems: list[Problem],
    overrides: Mapping[str, Override],
    file: JsonFile | None = None,
) -> Spec:
    """The spec, or every problem of all stages at once."""
    findings = Findings()
    spec: Spec | None = None
    chosen = roots.choice(document, overrides)
    adapter = adapters.choice(document, overrides)
    given = {n: one for n, one in overrides.items() if one is not chosen and one is not adapter}
    with contextlib.suppress(TooManyProblems):
        findings.add(*problems)
        if chosen is None:
            document = roots.rooted(document)
        else:
            document = _with_chosen(document, str(chosen.value), given, file)
        spec = _examined(document, findings, given, file)
        reported = {(problem.code, problem.place) for problem in findings}
        for name in [*roots.others(document)] if spec is not None else ():
            other = Findings()
            _examined(roots.rooted(document, name), other, given, file)
            findings.add(*(one for one in other if (one.code, one.place) not in reported))
    if spec is None or findings:
        raise SpecError(findings.in_order())
    if chosen is not None:
        spec = replace(spec, overrides={roots.CHOICE: chosen, **spec.overrides})
    return _adapted(spec, adapter)


def _adapted(spec: Spec, given: Override | None) -> Spec:
    """The spec with the adapter in it that it names, or that was given from outside."""
    overrides = spec.overrides if given is None else {adapters.CHOICE: given, **spec.overrides}
    spec = replace(spec, overrides=overrides)
    plain = adapters.PlainModel(
        spec.document, spec.architecture, spec.tree, spec.root, spec.values, spec.ties
    )
    if problems := [*plain.unfit()]:
        raise SpecError(problems)
    chosen = adapters.chosen(spec.architecture, given)
    if chosen is None:
        return spec
    made = adapters.adapted(plain, chosen)
    return replace(
        spec,
        document=made.document,
        architecture=made.architecture,
        tree=made.tree,
        root=made.root,
        adapter=made.adapter,
        base=replace(spec, overrides={**overrides, adapters.CHOICE: Override(None, "plain")}),
    )


def _with_chosen(
    document: Document, name: str, overrides: Mapping[str, Override], file: JsonFile | None
) -> Document:
    """The document with another root, and what the top says as far as it speaks of that root."""
    bare = roots.rooted(document, name)
    if not roots.shares(document):
        return bare
    spec = _examined(bare, Findings(), overrides, file)
    return bare if spec is None else roots.rooted(document, name, Tree(entries(spec.root)))


def _examined(
    document: Document,
    findings: Findings,
    overrides: Mapping[str, Override],
    file: JsonFile | None,
) -> Spec | None:
    """The spec; None if its problems, now among the findings, are such that there is none."""
    architecture = validated(document, findings)
    if architecture is None:
        return None
    checker = Checker(architecture, document, findings)
    tree = read(checker)
    check_config(checker)
    ignored: tuple[str, ...] = ()
    if file is not None:
        found = overrides_from_config(checker, file, overrides)
        if found is None:
            return None
        overrides, ignored = {**found[0], **overrides}, found[1]
    params, let = resolve(checker, tree, overrides)
    values = {**{name: param.value for name, param in params.items()}, **let}
    check_declared(checker, tree)
    check_local_values(checker, tree)
    check_classes(checker, tree, params, values)
    check_task(checker)
    check_requirements(checker)
    check_adapters(checker)
    check_steps(checker, tree)
    root, is_whole = None, False
    # Blocks that contain themselves have been reported: instantiation would find no end.
    is_finite = all(problem.code != "E211" for problem in findings)
    if len(values) == len(architecture.params) + len(architecture.let) and is_finite:
        instantiator = Instantiator(checker, tree, values)
        root, is_whole = instantiator.instantiate(), instantiator.is_whole
    if root is not None:
        check_branches(checker, tree.blocks, root, values)
    whole = root if is_whole else None
    others = partial(everything, document, tree, values)
    unvaried = partial(_with_own_values, document, tree) if overrides else None
    LayoutChecker(checker, tree, whole, values, others, unvaried).check()
    if root is None:
        return None
    architecture = with_labels(architecture, overrides)
    return Spec(document.name, architecture, tree, params, let, root, document, ignored, overrides)


def _with_own_values(document: Document, tree: SpecTree) -> list[Tree]:
    """The paths of the model with the defaults, and of all that it may have; none without one."""
    checker = Checker(tree.declared, document, Findings())
    params, let = resolve(checker, tree, {})
    values = {**{name: param.value for name, param in params.items()}, **let}
    if len(values) < len(tree.params) + len(tree.let):
        return []
    with contextlib.suppress(TooManyProblems):
        root = Instantiator(checker, tree, values).instantiate()
        whole = everything(document, tree, values)
        return [Tree(entries(root)), whole] if root and whole else []
    return []
