"""A visitor's session: the text in the editor, what it builds, and the history for undo."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from secrets import token_hex
from typing import Any

from torch import nn

import archspec
from archspec.errors import ArchspecError, Problem, UsageError
from archspec.freezing.toggling import toggle
from archspec.inspection import Inspection
from archspec.lang.editing import edit_param, edit_plan
from archspec.lang.params import Resolved
from archspec.lang.schema import FreezePlan, Param
from archspec.lang.sizes import symbols_of
from archspec.lang.spec import Spec, loads_with, params_of
from archspec_app.text_patch import Patch, with_breaks_of
from archspec_app.workspace import SUFFIXES, Workspace, without_paths

MAX_UNDO_STEPS = 100
MAX_SPECS_CHOSEN_FOR = 100
"""Specs whose plan and sizes are remembered."""

MAX_TEXT_LENGTH = 4_000_000
MAX_UNDO_LENGTH = 8_000_000
"""Characters of all texts in the undo history."""

NEW_PLAN = "my-plan"
_OPTIONS = frozenset(
    {"source", "freeze", "precision", "optimizer", "checkpoint_blocks", "without", "device"}
)


@dataclass(frozen=True)
class SpecRequest:
    """Everything that the figures depend on: the text, the plan, sizes, and so on."""

    text: str
    plan: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    precision: str = "fp32"
    optimizer: str = "adamw"
    checkpoint_blocks: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    device: str = "cpu"


@dataclass(frozen=True)
class BuiltSpec:
    """A spec that could be built, and its inspection."""

    request: SpecRequest
    spec: Spec
    inspection: Inspection

    @cached_property
    def model(self) -> nn.Module:
        """On ``meta``, with the freeze plan applied."""
        return archspec.build(self.spec, device="meta", freeze=self.request.plan)

    @property
    def plans(self) -> Mapping[str, FreezePlan]:
        return self.spec.architecture.freeze


@dataclass(frozen=True)
class FieldError:
    """A value of a form that was not taken over.

    Attributes:
        key: of the field.
        text: as it was typed.
        message: what is wrong with it.
    """

    key: str
    text: str
    message: str


@dataclass(frozen=True)
class _Snapshot:
    """A state that undo returns to."""

    name: str
    saved: str | None
    baseline: str
    request: SpecRequest


class Session:
    """One visitor's work. Its methods are called one after the other.

    Attributes:
        name: of the spec: relative to the folder, or packaged.
        saved: the content of the spec's file when it was opened or saved; None without a file.
        baseline: the text that counts as unmodified: as it was opened or saved.
        train_defaults: values that the form of the tab Train starts with.
        choices: of specs that were open before: the plan, the sizes and so on that were chosen
            for each, by its name; the texts are left out.
        request: what the visitor asks for now; its text may have problems.
        built: the last spec that could be built; it stays while the text has problems.
        problems: of the text, as the terminal reports them.
        selected: the path of the selected module.
        notice, error: the result of the last event, for the toolbar.
        download: a file for the browser to save: its name and its text.
        field_error: what is wrong with a value that was typed into a form and not taken over.
        revision: grows with every event.
        patch: how the last event changed the text that the page has.
        instance_id: differs in the session that replaces this one when the server is restarted.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.name = "untitled.yaml"
        self.saved: str | None = None
        self.baseline = ""
        self.train_defaults: dict[str, str] = {}
        self.choices: dict[str, SpecRequest] = {}
        self.request = SpecRequest("")
        self.built: BuiltSpec | None = None
        self.problems: tuple[Problem, ...] = ()
        self.selected = ""
        self.notice = self.error = ""
        self.download: tuple[str, str] | None = None
        self.field_error: FieldError | None = None
        self.revision = 0
        self.patch: Patch | None = None
        self.instance_id = token_hex(8)
        self._undo: list[_Snapshot] = []
        self._redo: list[_Snapshot] = []
        self._typing = False
        self._unmodified = self.request

    # ------------------------------------------------------------------------------------ opening

    def open(self, name: str) -> None:
        """Open a spec of the folder, or a packaged one, with what was chosen for it before.

        The spec that is open already starts anew, with the defaults.
        """
        text = self.workspace.read(name)
        chosen = self.choices.get(name) if name != self.name else None
        saved = text if name.endswith(SUFFIXES) else None
        self._load(name, text, saved, replace(chosen or SpecRequest(""), text=text), baseline=text)
        if chosen is not None and self.problems:  # the spec was changed since
            self._build(SpecRequest(text))
        if self.built is not None:
            self.request = self.built.request  # without a plan that the spec does not have
        self._unmodified = SpecRequest(text)

    def paste(self, name: str, text: str, *, is_saved: bool = False) -> None:
        """Open a text that has no file yet.

        Args:
            name: of the file that it would be.
            text: of the spec.
            is_saved: whether nothing is lost when the text is left without saving.
        """
        self._load(name, text, None, baseline=text if is_saved else "")

    def restore(self, name: str, request: SpecRequest) -> None:
        """Continue with what a page had before it was reloaded."""
        baseline = self._read_baseline(name)
        saved = baseline if name.endswith(SUFFIXES) else None
        self._load(name, request.text, saved, request, baseline=baseline or "")

    def _read_baseline(self, name: str) -> str | None:
        try:
            return self.workspace.read(name)
        except UsageError:
            return None

    def _load(
        self,
        name: str,
        text: str,
        saved: str | None,
        request: SpecRequest | None = None,
        *,
        baseline: str,
    ) -> None:
        if self.request == self._unmodified:
            self._undo, self._redo, self._typing = [], [], False
        else:
            self._push_undo()
        self.train_defaults = {}
        self._restore(_Snapshot(name, saved, baseline, request or SpecRequest(text)))
        self._unmodified = SpecRequest(saved or "") if request else self.request

    def _restore(self, snapshot: _Snapshot) -> None:
        if self.request.text:
            self.remember({self.name: self.request})
        self.name, self.saved, self.baseline = snapshot.name, snapshot.saved, snapshot.baseline
        self.built, self.selected = None, ""
        self._build(snapshot.request)

    def remember(self, choices: Mapping[str, SpecRequest]) -> None:
        """Keep what was chosen for specs, for when they are opened again."""
        for name, request in choices.items():
            self.choices.pop(name, None)
            self.choices[name] = replace(request, text="")
        while len(self.choices) > MAX_SPECS_CHOSEN_FOR:
            self.choices.pop(next(iter(self.choices)))

    def save(self, name: str) -> None:
        """Write the text into the folder, with or without problems."""
        opened, before = (self.saved if name == self.name else None), self.name
        self.name = self.workspace.save(name, self.request.text, opened=opened)
        self.saved = self.baseline = self.request.text
        self._unmodified = self.request
        for steps in (self._undo, self._redo):
            steps[:] = [
                replace(step, name=self.name) if step.name == before else step for step in steps
            ]

    # ------------------------------------------------------------------------------------ changing

    def edit(self, text: str) -> None:
        """Take over what was typed; undo treats all typing between two other changes as one step.

        Raises:
            UsageError: E801, it is too long; the text stays as it was.
        """
        if len(text) > MAX_TEXT_LENGTH:
            raise UsageError(
                Problem("E801", f"the text has more than {MAX_TEXT_LENGTH:,} characters")
            )
        text = with_breaks_of(self.request.text, text)
        if text != self.request.text:
            if not self._typing:
                self._push_undo()
            self._typing = True
            self._build(replace(self.request, text=text))

    def change(self, **changes: Any) -> None:
        """Change values of the ``SpecRequest``; undone in one step."""
        self._change_to(replace(self.request, **changes))

    def try_change(self, **changes: Any) -> None:
        """Change values as ``change`` does, unless a good text could not be measured with them.

        Raises:
            UsageError: what is wrong with the values; everything stays as it was.
        """
        if not self.problems:
            try:
                self._built_spec(replace(self.request, **changes))
            except ArchspecError as error:
                folder = self.workspace.folder
                problems = [without_paths(problem, folder) for problem in error.problems]
                raise UsageError(problems) from None
        self.change(**changes)

    def set_param(self, name: str, value: object) -> None:
        """Write a parameter's value into the text.

        Raises:
            ArchspecError: it cannot be written there; the text stays as it was.
        """
        self.change(text=edit_param(self.request.text, name, value))

    def toggle(self, rows: Sequence[tuple[str, int]], *, frozen: bool) -> None:
        """Freeze or unfreeze everything at some paths, by one edit of the plan in the text.

        Args:
            rows: paths of modules, each with how many modules with consecutive numbers from it on.
            frozen: whether they are frozen afterwards.
        """
        built = self._current()
        name = self.request.plan or _unused_name(NEW_PLAN, built.plans)
        plan = built.plans.get(name)
        patterns: Sequence[str] = plan.patterns if plan else []
        for path, count in rows:
            patterns = toggle(built.model, patterns, path, count=count, frozen=frozen)
        self._write(name, patterns, plan)

    def save_plan(self, name: str) -> None:
        """Copy the current plan to a new name.

        Raises:
            UsageError: E801, another plan has this name.
        """
        built = self._current()
        if name in built.plans and name != self.plan:
            hint = "choose another name, or choose that plan and change it"
            raise UsageError(Problem("E801", f"there is a plan {name!r:.200} already", hint=hint))
        plan = built.plans.get(self.plan or "")
        self._write(name, plan.patterns if plan else [], plan)

    def undo(self) -> None:
        """Revert the last change: an event, a stretch of typing, or the opening of a spec."""
        self._back(self._undo, self._redo)

    def redo(self) -> None:
        """Repeat the change that was reverted last."""
        self._back(self._redo, self._undo)

    def keep_unbuilt(self, text: str | None, problem: Problem) -> None:
        """Keep a typed text that could not be built, and the last good model."""
        if text is not None and len(text) <= MAX_TEXT_LENGTH and text != self.request.text:
            self._push_undo()
            self.request, self.problems = replace(self.request, text=text), (problem,)

    def restore_unbuilt(self, name: str, request: SpecRequest, problem: Problem) -> None:
        """Like ``restore``, of a text that could not be built."""
        baseline = self._read_baseline(name)
        self.saved = baseline if name.endswith(SUFFIXES) else None
        self.name, self.baseline, self.request = name, baseline or "", request
        self.built, self.problems = None, (problem,)
        self._unmodified = SpecRequest(self.saved or "")

    def state(self) -> dict[str, Any]:
        """Everything as plain data: instead of what was built, the request it was built from."""
        state = {key: value for key, value in vars(self).items() if key != "workspace"}
        return {**state, "built": self.built and self.built.request}

    @classmethod
    def from_state(cls, workspace: Workspace, state: Mapping[str, Any], *, build: bool) -> Session:
        """The inverse of ``state``.

        Args:
            workspace: the folder that it works in.
            state: of a session.
            build: whether to build the last good spec again.
        """
        session = cls(workspace)
        vars(session).update(state, built=None)
        if build and state["built"] is not None:
            with contextlib.suppress(ArchspecError):  # a file that it extends was changed since
                session.built = session._built_spec(state["built"])
        return session

    @property
    def file(self) -> str:
        """The file name in the places of problems."""
        return self.name if self.name.endswith(SUFFIXES) else f"{self.name}.yaml"

    @property
    def plan(self) -> str | None:
        """The chosen plan, if the text has it."""
        return self.request.plan if self.built and self.request.plan in self.built.plans else None

    @property
    def params(self) -> tuple[Mapping[str, Param], Mapping[str, Resolved]]:
        """Declared parameters, and those with a value: in a text with problems, some lack one."""
        if self.built is not None:
            return self.built.spec.architecture.params, self.built.spec.params
        try:
            folder = self.workspace.folder_of(self.name)
        except UsageError:
            return {}, {}
        return params_of(self.request.text, {}, name=self.file, folder=folder)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been opened yet."""
        return self.built is None and not self.request.text

    @property
    def is_modified(self) -> bool:
        """Whether the text differs from what was opened or saved."""
        return self.request.text != self.baseline

    @property
    def can_undo(self) -> bool:
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        return bool(self._redo)

    def _back(self, source: list[_Snapshot], target: list[_Snapshot]) -> None:
        if source:
            target.append(self._snapshot())
            self._typing = False
            snapshot = source.pop()
            if snapshot.name == self.name:
                self._build(snapshot.request)
            else:
                self._restore(snapshot)

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(self.name, self.saved, self.baseline, self.request)

    def _push_undo(self) -> None:
        """Let undo return to the current state."""
        self._typing, self._redo = False, []
        if self.request.text:
            self._undo = [*self._undo, self._snapshot()][-MAX_UNDO_STEPS:]
        while sum(len(snapshot.request.text) for snapshot in self._undo) > MAX_UNDO_LENGTH:
            self._undo.pop(0)

    def _current(self) -> BuiltSpec:
        if self.built is None or self.problems:
            message = "the freeze plan cannot be changed while the text has problems"
            raise UsageError(Problem("E801", message, hint="fix the problems first"))
        adapter = self.built.spec.adapter
        if adapter is not None and self.request.plan == adapter.name:
            message = f"the plan {adapter.name} belongs to the adapter"
            hint = "change 'train' of the adapter in the text, or choose another plan"
            raise UsageError(Problem("E801", message, hint=hint))
        return self.built

    def _write(self, name: str, patterns: Sequence[str], plan: FreezePlan | None) -> None:
        switches = {
            key: getattr(plan, key)
            for key in ("gradients", "statistics", "dropout")
            if plan is not None and key in plan.model_fields_set
        }
        text = edit_plan(self.request.text, name, patterns, **switches)
        self._change_to(replace(self.request, text=text, plan=name))

    def _change_to(self, request: SpecRequest) -> None:
        self._push_undo()
        self._build(request)

    def _build(self, request: SpecRequest) -> None:
        self.request = request
        try:
            self.built, self.problems = self._built_spec(request), ()
            # The plan stays chosen: somebody may be typing its lines, or undo may bring them back.
            self.request = replace(self.built.request, plan=request.plan)
        except ArchspecError as error:
            folder = self.workspace.folder
            self.problems = tuple(without_paths(problem, folder) for problem in error.problems)

    def _built_spec(self, request: SpecRequest) -> BuiltSpec:
        folder = self.workspace.folder_of(self.name)
        spec = loads_with(request.text, {}, name=self.file, folder=folder)
        plan = request.plan if request.plan in spec.architecture.freeze else None
        sizes = {key: size for key, size in request.sizes.items() if key in dimensions(spec)}
        without = tuple(name for name in request.without if name in optional_inputs(spec))
        inspection = archspec.inspect(
            spec,
            freeze=plan,
            precision=request.precision,
            optimizer=request.optimizer,
            checkpoint_blocks=request.checkpoint_blocks,
            without=without,
            device=request.device,
            **sizes,
        )
        request = replace(request, plan=plan, sizes=sizes, without=without)
        return BuiltSpec(request, spec, inspection)


def dimensions(spec: Spec) -> list[str]:
    """The symbolic dimensions that ``inspect`` takes: those without the name of an option of it."""
    names = symbols_of(spec.tree.blocks[spec.architecture.model].inputs.values())
    unique = dict.fromkeys([*names, *spec.architecture.dims])
    return [name for name in unique if name not in _OPTIONS]


def optional_inputs(spec: Spec) -> list[str]:
    """The optional inputs of the model."""
    inputs = spec.architecture.blocks[spec.architecture.model].inputs
    return [name for name, contract in inputs.items() if contract.optional]


def _unused_name(name: str, taken: Mapping[str, Any]) -> str:
    numbered = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(free for free in numbered if free not in taken)
