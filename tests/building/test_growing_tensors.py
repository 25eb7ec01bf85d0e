"""A tensor that a loop makes longer: the limit is told with a list to write, which is followed."""

from __future__ import annotations

import re

import pytest

import archspec
from archspec.errors import BuildError
from tests.tables import every

SPEC = """\
archspec: 1
model: Net
dims: {batch: 2, seq: 3000}
blocks:
  Net:
    inputs: {x: [batch, seq, 4]}
    modules: {cell: {type: Linear, in_features: 4, out_features: 4}, step: {type: Step}}
    forward:
      - h: x[:, 0]
      - ys: START
      - for: t in range(1, x.shape[1])
        do:
          - h: STEP
          - ys: GROWN
      - return: END
  Step:
    inputs: {h: [batch, 4], x: [batch, 4]}
    forward: [{return: tanh(h + x)}]
"""


def spec(start: str, step: str, grown: str, end: str = "ys") -> str:
    parts = {"START": start, "STEP": step, "GROWN": grown, "END": end}
    return re.sub("START|STEP|GROWN|END", lambda found: f'"{parts[found[0]]}"', SPEC)


def hint_of(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ARCHSPEC_MAX_OPERATIONS", "500")
    with pytest.raises(BuildError) as caught:
        archspec.inspect(archspec.loads(text))
    (problem,) = caught.value.problems
    assert problem.code == "E505"
    return problem.hint


@every(
    "start, step, grown",
    [
        ("h[:, None]", "tanh(cell(h) + x[:, t])", "cat([ys, h[:, None]], 1)"),
        ("h", "step(h, x[:, t])", "cat([ys, h])"),  # the limit may be met inside of the block
        ("x[:, :1]", "h * 2", "cat((ys, unsqueeze(h, 1)), -2)"),
    ],
)
def test_a_list_in_place_of_cat(start: str, step: str, grown: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        hint = hint_of(spec(start, step, grown), monkeypatch)
        found = re.fullmatch(r".* in it ys: (.*), behind it (cat\(.*\)); or raise .*", hint)
        assert found, hint
        report = archspec.inspect(archspec.loads(spec(f"[{start}]", step, *found.groups())))
    assert report.text()


def test_none_where_a_round_needs_the_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    text = spec("h[:, None]", "h + sum(ys, 1)", "cat([ys, h[:, None]], 1)")
    assert hint_of(text, monkeypatch) == "raise the limit with ARCHSPEC_MAX_OPERATIONS"
