"""What a spec says of foreign checkpoints: their names, and what their models are like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

from archspec.errors import did_you_mean, listing
from archspec.lang import patterns
from archspec.lang.checker import Checker
from archspec.lang.checks.selections import SelectionChecker, tensors_of
from archspec.lang.config_specs import listed
from archspec.lang.declarations import fit, inferred
from archspec.lang.expr import Value
from archspec.lang.instances import Instance
from archspec.lang.params import as_tuples
from archspec.lang.patterns import Pattern, PatternError, Rename, Tree
from archspec.lang.registry import layers
from archspec.lang.schema import Joined
from archspec.lang.tree import SpecTree
from archspec.lang.yaml import Path


def check_requirements(checker: Checker) -> None:
    """Whether each value that a layout requires is one that its parameter can have."""
    params = checker.architecture.params
    for name, layout in checker.architecture.checkpoints.items():
        for param, required in layout.require.items():
            at = ("checkpoints", name, "require", param)
            if checker.is_broken(("params", param)):
                continue
            if param not in params:
                hint = did_you_mean(param, params)
                checker.add("E208", f"no parameter '{param}'", at, key=True, hint=hint)
                continue
            declared = params[param]
            for value in map(as_tuples, listed(required)):
                kind = declared.type or inferred(declared, value)
                if complaint := fit(value, declared, kind)[1]:
                    checker.add("E209", f"parameter '{param}': {complaint}", at)
                    break


class LayoutChecker(SelectionChecker):
    """Checks the lines of layouts. Each has to apply to something, where it was written.

    That is for the parent that says it, and with the values of the spec itself.
    """

    def __init__(
        self,
        checker: Checker,
        declared: SpecTree,
        root: Instance | None,
        values: Mapping[str, Value],
        everything: Callable[[], Tree | None],
        unvaried: Callable[[], Sequence[Tree]] | None = None,
    ) -> None:
        """
        Args:
            root, values, everything: as for ``SelectionChecker``.
            unvaried: where values were given from outside, gives the paths of the model with
                those of the spec itself, and of the one in which then nothing is left out.
        """
        super().__init__(checker, declared, root, values, everything)
        self._unvaried = unvaried
        self._idle: list[Path] | None = None

    def check(self) -> None:
        if self._too_many():
            return
        super().check()
        self._check_layouts()

    def idle_lines(self) -> list[Path]:
        """The lines that apply to nothing here, and are right."""
        self._idle = []
        self._check_layouts()
        return self._idle

    def _check_layouts(self) -> None:
        for name, layout in self.architecture.checkpoints.items():
            at = ("checkpoints", name)
            if name == "archspec":
                message = "'archspec' is the layout of the model's own names"
                self.checker.add("E207", message, at, key=True)
            renames = self._check_renames(layout.rename, (*at, "rename"))
            self._check_renames(layout.then, (*at, "then"), after=renames)
            for i, text in enumerate(layout.ignore):
                self._parsed((*at, "ignore", i), patterns.parse, text)
            for part, texts in (("optional", layout.optional), ("transpose", layout.transpose)):
                for i, text in enumerate(texts):
                    self._check_line(text, (*at, part, i))
            for text, sizes in layout.reshape.items():
                place = (*at, "reshape", text)
                self._check_line(text, place, key=True)
                if text.startswith("!"):
                    self.checker.add("E702", "a reshape cannot exclude", place, key=True)
                if sizes.count(-1) > 1:
                    self.checker.add("E207", "only one size can be what is left (-1)", place)
            for kind, joins in (("split", layout.split), ("stack", layout.stack)):
                for i, joined in enumerate(joins):
                    self._check_joined(kind, joined, (*at, kind, i))

    # ---------------------------------------------------------------------------------- idle lines

    @cached_property
    def left_out(self) -> list[str]:
        """The paths of the parameters and buffers that only other values bring."""
        found = tensors_of(self.everything) if self.everything else ()
        return [path for path in found if path not in self.tensors]

    @cached_property
    def unvaried(self) -> Sequence[Tree]:
        """The paths of models with the spec's own values; none if it has not all of them."""
        return self._unvaried() if self._unvaried else ()

    @cached_property
    def _holds_unknown(self) -> bool:
        """Whether a registered layer is there, whose tensors are unknown here."""
        found = self.tree.entries if self.tree else ()
        kinds = {entry.type for entry in found if entry.type}
        return any(layer.registered for kind in kinds if (layer := layers.find(kind)))

    def _is_passed_over(self, line: Path) -> bool:
        """Whether a line need not apply to anything, and nobody asks whether it does."""
        return self._idle is None and self.checker.document.is_inherited(line)

    def _is_right(self, line: Path, selects: Callable[[Tree], bool]) -> bool:
        """Whether a line that applies to nothing here does where it was written."""
        if not self.checker.document.is_inherited(line):
            if self._unvaried is None:
                return False
            if self.unvaried and not any(map(selects, self.unvaried)):
                return False
        if self._idle is not None and line not in self._idle:  # of a split each part asks
            self._idle.append(line)
        return True

    # --------------------------------------------------------------------------------------- lines

    def _check_line(self, text: str, path: Path, *, key: bool = False) -> None:
        pattern = self._parsed(path, patterns.parse, text)
        if pattern is not None and not self._is_passed_over(path):
            self._check_pattern(pattern, text, path, key=key)

    def _report_idle(self, pattern: Pattern, text: str, path: Path, *, key: bool = False) -> None:
        is_line = path[0] == "checkpoints"
        if not (is_line and self._is_right(path, lambda tree: tree.selects(pattern))):
            super()._report_idle(pattern, text, path, key=key)

    def _check_renames(
        self, lines: Mapping[str, str], path: Path, after: Sequence[Rename] = ()
    ) -> list[Rename]:
        """Each must apply to a tensor that no earlier line applies to.

        ``after`` are the renames that come first, whose names these lines see.
        """
        renames: dict[str, Rename] = {}
        for ours, foreign in lines.items():
            rename = self._parsed((*path, ours), patterns.parse_rename, ours, foreign)
            if rename is not None:
                renames[ours] = rename
        if self.tree is None or self._holds_unknown:
            return list(renames.values())
        idle = {o: one for o, one in renames.items() if not self._is_passed_over((*path, o))}
        seen = dict.fromkeys(_renamed(tensor, after) for tensor in self.tensors) if idle else {}
        for tensor in seen:
            if not idle:
                break
            # Few lines are idle for long: the others are asked about their tensors alone.
            if (found := _first_for(tensor, idle)) and found == _first_for(tensor, renames):
                del idle[found]
        for ours, rename in idle.items():
            line = (*path, ours)

            def applies(names: Iterable[str], rename: Rename = rename) -> bool:
                return any(rename.to_foreign(_renamed(name, after)) is not None for name in names)

            if applies(self.left_out) or self._is_right(line, lambda t: applies(tensors_of(t))):
                continue
            if applies(self.tensors):
                hint = "an earlier line applies to all that it selects"
            elif path[-1] == "then":
                hint = f"it sees the names that rename gives: {listing(list(seen))}"
            else:
                selected = patterns.parse(patterns.without_numbers(ours))
                hint = self._near_misses(selected, self.tree)
            message = f"the rename '{ours}' renames nothing"
            self.checker.add("E701", message, line, key=True, hint=hint)
        return list(renames.values())

    def _check_joined(self, kind: str, joined: Joined, path: Path) -> None:
        """One side has several tensors, by a list or by a number, and each pattern selects some."""
        ours, theirs = joined.ours, joined.theirs
        if kind == "split":
            fits = sorted((min(len(ours), 2), min(len(theirs), 2))) == [1, 2]
            hint = "a list of names on one side, a name on the other"
        else:
            fits = len(ours) == len(theirs) == 1 and ours[0].count("#") + theirs[0].count("#") == 1
            hint = "a name with # for a number on one side, a name without on the other"
        if not fits:
            self.checker.add("E207", f"{kind} joins several tensors into one", path, hint=hint)
            return
        if joined.sizes and (kind, len(ours), len(theirs)) != ("split", 1, len(joined.sizes)):
            message = "sizes are one for each foreign pattern of a split of our one tensor"
            hint = "leave it out: parts of ours have the sizes that they have"
            hint = (
                f"there are {len(theirs)} patterns" if kind == "split" and len(ours) == 1 else hint
            )
            self.checker.add("E207", message, (*path, "sizes"), hint=hint)
            return
        for one in ours:
            for other in theirs:
                try:
                    rename = patterns.parse_rename(one, other)
                except PatternError as error:
                    self.checker.add("E702", error.message, path)
                    return
                if not self._is_part_there(rename, path):
                    self.checker.add("E701", f"the {kind} of '{one}' selects nothing", path)
                    return

    def _is_part_there(self, rename: Rename, path: Path) -> bool:
        """Whether a pattern of a split or stack selects a tensor of ours, or need not."""
        place_of = rename.numbered if "#" in rename.new else rename.to_foreign

        def applies(names: Iterable[str]) -> bool:
            return any(place_of(name) is not None for name in names)

        if self.tree is None or self._holds_unknown or self._is_passed_over(path):
            return True
        if applies(self.tensors) or applies(self.left_out):
            return True
        return self._is_right(path, lambda tree: applies(tensors_of(tree)))


def _renamed(tensor: str, renames: Iterable[Rename]) -> str:
    """What the first rename that applies makes of a name."""
    return next((new for one in renames if (new := one.to_foreign(tensor)) is not None), tensor)


def _first_for(tensor: str, renames: Mapping[str, Rename]) -> str:
    """The first rename that applies to a tensor; "" if none does."""
    return next((ours for ours, one in renames.items() if one.to_foreign(tensor) is not None), "")
