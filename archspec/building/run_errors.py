"""A run on ``meta`` that fails after the shapes were checked: in ``inspect`` or ``draw``."""

from __future__ import annotations

import sys
from dataclasses import replace

from torch import nn

from archspec.building.shape_errors import FailureReport
from archspec.codegen import generate
from archspec.errors import BuildError
from archspec.lang.instances import walk
from archspec.lang.spec import Spec
from archspec.report.text import first_line
from archspec.tracing.limits import RunLimitExceeded


def run_error(
    spec: Spec, model: nn.Module, error: Exception, doing: str, hint: str = ""
) -> BuildError:
    """The error as one of ours, at the step that was running.

    Args:
        model: the one that was run, as it was built.
        doing: what cannot be done, such as "BERT cannot be run on meta".
        hint: what to do about it, if that is known.

    Returns:
        E505 for a run beyond the limits, E512 for all else.
    """
    file = str(sys.modules[type(model).__module__].__file__)
    paths = {id(child): path for path, child in model.named_modules(remove_duplicate=False)}
    sizes = spec.architecture.dims
    telling = FailureReport(spec, generate(spec), file, paths, dict(walk(spec.root)), sizes)
    problem = telling.problem(error)
    if not isinstance(error, RunLimitExceeded):
        message = f"{doing}: {first_line(error)}"
        problem = replace(problem, code="E512", message=message, hint=hint)
    if problem.place is None:  # it failed before the first step: the root could not be called
        root = spec.tree.blocks[spec.architecture.model]
        hint = problem.hint if root.inputs else "declare its inputs: inputs: {x: [batch, …]}"
        problem = replace(problem, place=spec.document.place(root.path, key=True), hint=hint)
    return BuildError(problem)
