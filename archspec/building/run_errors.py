"""Explains a run on ``meta`` that fails in ``inspect`` or ``draw``, after the check of shapes."""

from __future__ import annotations

import sys
from dataclasses import replace

from torch import nn

from archspec.building.forward_errors import FailureReport
from archspec.codegen import generate
from archspec.errors import BuildError
from archspec.lang.instances import walk
from archspec.lang.spec import Spec
from archspec.report.text import first_line
from archspec.tracing.limits import RunLimitExceeded


def run_error(
    spec: Spec, model: nn.Module, error: Exception, doing: str, hint: str = ""
) -> BuildError:
    """The error as a ``BuildError``, at the step that was running.

    Args:
        model: the model that was run.
        doing: what failed, such as "BERT cannot be run on meta".
        hint: what to do about it, if known.

    Returns:
        E505 for a run beyond the limits, E512 for other errors.
    """
    file = str(sys.modules[type(model).__module__].__file__)
    paths = {id(child): path for path, child in model.named_modules(remove_duplicate=False)}
    sizes = spec.architecture.dims
    report = FailureReport(spec, generate(spec), file, paths, dict(walk(spec.root)), sizes)
    problem = report.problem(error)
    if not isinstance(error, RunLimitExceeded):
        message = f"{doing}: {first_line(error)}"
        hint = hint or (problem.hint if isinstance(error, KeyError) else "")
        problem = replace(problem, code="E512", message=message, hint=hint)
    if problem.place is None:  # it failed before the first step: the root could not be called
        root = spec.tree.blocks[spec.architecture.model]
        hint = problem.hint if root.inputs else "declare its inputs: inputs: {x: [batch, …]}"
        problem = replace(problem, place=spec.document.place(root.path, key=True), hint=hint)
    return BuildError(problem)
