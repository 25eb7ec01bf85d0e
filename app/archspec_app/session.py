"""What one visitor has in front of them: a text, what it builds, and how it is looked at."""

from __future__ import annotations

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
from archspec.lang.editing import edit_plan
from archspec.lang.params import Override, Resolved
from archspec.lang.schema import FreezePlan, Param
from archspec.lang.spec import Spec, loads_with, params_of
from archspec_app.text_patch import Patch, with_breaks_of
from archspec_app.workspace import SUFFIXES, Workspace, without_paths

MOST_UNDONE = 100
MOST_TYPED = 4_000_000
MOST_KEPT = 8_000_000
"""Letters of all texts that can be had again by undo."""

NEW_PLAN = "my-plan"
_OPTIONS = frozenset({"source", "freeze", "precision", "optimizer", "checkpoint_blocks", "without"})


@dataclass(frozen=True)
class SpecRequest:
    """What decides the figures: a text, values for its parameters, sizes, and so on."""

    text: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    plan: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    precision: str = "fp32"
    optimizer: str = "adamw"
    checkpoint_blocks: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuiltSpec:
    """A spec that could be built, and what came of it."""

    asked: SpecRequest
    spec: Spec
    inspection: Inspection

    @cached_property
    def model(self) -> nn.Module:
        """On ``meta``, frozen as the plan says."""
        return archspec.build(self.spec, device="meta", freeze=self.asked.plan)

    @property
    def plans(self) -> Mapping[str, FreezePlan]:
        return self.spec.architecture.freeze


@dataclass(frozen=True)
class _Step:
    """What undo goes back to."""

    name: str
    saved: str | None
    asked: SpecRequest


class Session:
    """One visitor's work. Its methods are called one after the other.

    Attributes:
        name: of the spec: relative to the folder, or packaged.
        saved: the text as it was opened or saved last.
        asked: what is wanted now; its text may be wrong.
        good: the last that could be built; it stays while the text is broken.
        problems: of the text, as the terminal tells them.
        selected: the path of the module that is looked at.
        notice, complaint: what came of the last event.
        download: a file for the browser to keep: its name and its text.
        revision: grows with every event.
        patch: what the last event changed in the text that the page has.
        mark: tells this desk from one that takes its place, when the page's server was restarted.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.name = "untitled.yaml"
        self.saved: str | None = None
        self.asked = SpecRequest("")
        self.good: BuiltSpec | None = None
        self.problems: tuple[Problem, ...] = ()
        self.selected = ""
        self.notice = self.complaint = ""
        self.download: tuple[str, str] | None = None
        self.revision = 0
        self.patch: Patch | None = None
        self.mark = token_hex(8)
        self._undo: list[_Step] = []
        self._redo: list[_Step] = []
        self._typing = False
        self._untouched = self.asked

    # ------------------------------------------------------------------------------------ opening

    def open(self, name: str) -> None:
        """Show a spec of the folder, or a packaged one."""
        text = self.workspace.read(name)
        self._begin(name, text, text if name.endswith(SUFFIXES) else None)

    def paste(self, name: str, text: str) -> None:
        """Show a text that has no file yet."""
        self._begin(name, text, None)

    def restore(self, name: str, asked: SpecRequest) -> None:
        """Go on where a page was before it was loaded anew."""
        self._begin(name, asked.text, self._saved(name), asked)

    def _saved(self, name: str) -> str | None:
        try:
            return self.workspace.read(name) if name.endswith(SUFFIXES) else None
        except UsageError:
            return None

    def _begin(
        self, name: str, text: str, saved: str | None, asked: SpecRequest | None = None
    ) -> None:
        if self.asked == self._untouched:
            self._undo, self._redo, self._typing = [], [], False
        else:
            self._remember()
        self._put(_Step(name, saved, asked or SpecRequest(text)))
        self._untouched = SpecRequest(saved or "") if asked else self.asked

    def _put(self, step: _Step) -> None:
        self.name, self.saved, self.good, self.selected = step.name, step.saved, None, ""
        self._ask(step.asked)

    def save(self, name: str) -> None:
        """Write the text, right or wrong, into the folder."""
        opened, before = (self.saved if name == self.name else None), self.name
        self.name = self.workspace.save(name, self.asked.text, opened=opened)
        self.saved, self._untouched = self.asked.text, self.asked
        for steps in (self._undo, self._redo):
            steps[:] = [
                replace(one, name=self.name) if one.name == before else one for one in steps
            ]

    # ------------------------------------------------------------------------------------ changing

    def edit(self, text: str) -> None:
        """The text as it was typed; what is typed between two other changes is undone as one.

        Raises:
            UsageError: E801, it is too long; what was before stays.
        """
        if len(text) > MOST_TYPED:
            raise UsageError(Problem("E801", f"the text has more than {MOST_TYPED:,} letters"))
        text = with_breaks_of(self.asked.text, text)
        if text != self.asked.text:
            if not self._typing:
                self._remember()
            self._typing = True
            self._ask(replace(self.asked, text=text))

    def change(self, **changes: Any) -> None:
        """Other values than those of ``SpecRequest``; undone as one step."""
        self._do(replace(self.asked, **changes))

    def toggle(self, path: str, *, count: int = 1, frozen: bool) -> None:
        """Freeze or thaw everything at a path, by an edit of the plan in the text.

        Args:
            path: of a module.
            count: how many numbered neighbours, from it on.
            frozen: what they shall be.
        """
        good = self._current()
        name = self.asked.plan or _free(NEW_PLAN, good.plans)
        plan = good.plans.get(name)
        patterns = toggle(
            good.model, plan.patterns if plan else [], path, count=count, frozen=frozen
        )
        self._write(name, patterns, plan)

    def save_plan(self, name: str) -> None:
        """The plan as it is, under a name of its own."""
        good = self._current()
        plan = good.plans.get(self.plan or "")
        self._write(name, plan.patterns if plan else [], plan)

    def undo(self) -> None:
        """Take the last change back: an event's, a stretch of typing, or that a spec was opened."""
        self._back(self._undo, self._redo)

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._back(self._redo, self._undo)

    def unbuilt(self, text: str | None, why: Problem) -> None:
        """Keep a text that was typed and could not be built; what was built before stays."""
        if text is not None and len(text) <= MOST_TYPED and text != self.asked.text:
            self._remember()
            self.asked, self.problems = replace(self.asked, text=text), (why,)

    def restore_unbuilt(self, name: str, asked: SpecRequest, why: Problem) -> None:
        """As ``restore``, of what cannot be built."""
        self.name, self.saved, self.asked = name, self._saved(name), asked
        self.good, self.problems, self._untouched = None, (why,), SpecRequest(self.saved or "")

    def state(self) -> dict[str, Any]:
        """All of it as plain data; what was built is what it was built from."""
        left_out = ("workspace", "good")
        state = {key: value for key, value in vars(self).items() if key not in left_out}
        return {**state, "built": self.good and self.good.asked}

    @classmethod
    def of_state(cls, workspace: Workspace, state: Mapping[str, Any], *, build: bool) -> Session:
        """A desk as it was.

        Args:
            workspace: that it worked in.
            state: what ``state`` told.
            build: whether what was built is built again; else there is nothing to show.
        """
        desk = cls(workspace)
        kept = dict(state)
        built = kept.pop("built")
        vars(desk).update(kept)
        if build and built is not None:
            try:
                desk.good = desk._opened(built)
            except ArchspecError:  # a file that it extends was changed since
                desk.good = None
        return desk

    @property
    def file(self) -> str:
        """What the text is called in places."""
        return self.name if self.name.endswith(SUFFIXES) else f"{self.name}.yaml"

    @property
    def plan(self) -> str | None:
        """The plan that is wanted, if the text has it."""
        return self.asked.plan if self.good and self.asked.plan in self.good.plans else None

    @property
    def params(self) -> tuple[Mapping[str, Param], Mapping[str, Resolved]]:
        """What is declared, and what has a value; a text that was never right may lack values."""
        if self.good is not None:
            return self.good.spec.architecture.params, self.good.spec.params
        try:
            folder = self.workspace.folder_of(self.name)
        except UsageError:
            return {}, {}
        return params_of(self.asked.text, _given(self.asked), name=self.file, folder=folder)

    @property
    def can_undo(self) -> bool:
        return bool(self._undo)

    @property
    def can_redo(self) -> bool:
        return bool(self._redo)

    def _back(self, source: list[_Step], target: list[_Step]) -> None:
        if source:
            target.append(self._step())
            self._typing = False
            step = source.pop()
            if step.name == self.name:
                self._ask(step.asked)
            else:
                self._put(step)

    def _step(self) -> _Step:
        return _Step(self.name, self.saved, self.asked)

    def _remember(self) -> None:
        """Let undo come back to what is there now."""
        self._typing, self._redo = False, []
        if self.asked.text:
            self._undo = [*self._undo, self._step()][-MOST_UNDONE:]
        while sum(len(step.asked.text) for step in self._undo) > MOST_KEPT:
            self._undo.pop(0)

    def _current(self) -> BuiltSpec:
        if self.good is None or self.problems:
            hint = "the text has problems that come first"
            raise UsageError(
                Problem("E801", "a plan of a broken text cannot be changed", hint=hint)
            )
        return self.good

    def _write(self, name: str, patterns: Sequence[str], plan: FreezePlan | None) -> None:
        switches = {
            key: getattr(plan, key)
            for key in ("gradients", "statistics", "dropout")
            if plan is not None and key in plan.model_fields_set
        }
        text = edit_plan(self.asked.text, name, patterns, **switches)
        self._do(replace(self.asked, text=text, plan=name))

    def _do(self, asked: SpecRequest) -> None:
        self._remember()
        self._ask(asked)

    def _ask(self, asked: SpecRequest) -> None:
        self.asked = asked
        try:
            self.good, self.problems = self._opened(asked), ()
            # The plan stays wanted: its lines may be on their way back, or be typed just now.
            self.asked = replace(self.good.asked, plan=asked.plan)
        except ArchspecError as error:
            folder = self.workspace.folder
            self.problems = tuple(without_paths(one, folder) for one in error.problems)

    def _opened(self, asked: SpecRequest) -> BuiltSpec:
        folder = self.workspace.folder_of(self.name)
        spec = loads_with(asked.text, _given(asked), name=self.file, folder=folder)
        params = {key: value for key, value in asked.params.items() if key in spec.params}
        plan = asked.plan if asked.plan in spec.architecture.freeze else None
        sizes = {key: size for key, size in asked.sizes.items() if key in dimensions(spec)}
        without = tuple(name for name in asked.without if name in optional_inputs(spec))
        inspection = archspec.inspect(
            spec,
            freeze=plan,
            precision=asked.precision,
            optimizer=asked.optimizer,
            checkpoint_blocks=asked.checkpoint_blocks,
            without=without,
            **sizes,
        )
        asked = replace(asked, params=params, plan=plan, sizes=sizes, without=without)
        return BuiltSpec(asked, spec, inspection)


def _given(asked: SpecRequest) -> dict[str, Override]:
    # Tolerant: a parameter that an edit took out of the text is no mistake of the form's.
    return {key: Override(value, "the form", tolerant=True) for key, value in asked.params.items()}


def dimensions(spec: Spec) -> list[str]:
    """The symbolic dimensions whose sizes ``inspect`` takes: those not named as its own options."""
    block = spec.architecture.blocks[spec.architecture.model]
    names = [
        size
        for contract in block.inputs.values()
        for size in contract.shape
        if isinstance(size, str) and size.isidentifier()
    ]
    found = dict.fromkeys([*names, *spec.architecture.dims])
    return [name for name in found if name not in _OPTIONS]


def optional_inputs(spec: Spec) -> list[str]:
    """The model's inputs that ``inspect`` may leave out."""
    inputs = spec.architecture.blocks[spec.architecture.model].inputs
    return [name for name, contract in inputs.items() if contract.optional]


def _free(name: str, taken: Mapping[str, Any]) -> str:
    numbered = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(one for one in numbered if one not in taken)
