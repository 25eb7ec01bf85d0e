"""What the measurements conclude from their times."""

from __future__ import annotations

import pytest

from benchmarks.pairs import Pair, Result, compare


@pytest.mark.parametrize(
    ("ours", "target", "verdict"),
    [
        ([1.0, 1.0, 1.0], 1.0, "met"),
        ([0.5, 0.9, 9.0], 1.0, "met"),
        ([0.9, 1.1, 1.2], 1.0, "within noise"),
        ([1.1, 1.1, 1.2], 1.0, "missed"),
        ([9.0, 9.0, 9.0], None, ""),
    ],
)
def test_verdict(ours: list[float], target: float | None, verdict: str) -> None:
    result = Result("pair", target, ours, [1.0, 1.0, 1.0])
    assert result.verdict == verdict
    assert result.ratio == sorted(ours)[1]


def test_ratios_are_of_neighbouring_runs() -> None:
    assert Result("pair", 1.0, [1.0, 4.0], [2.0, 4.0]).ratios == [0.5, 1.0]


def test_the_sides_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.pairs.SAMPLE_SECONDS", 0)
    calls: list[str] = []
    pair = Pair("pair", lambda: calls.append("a"), lambda: calls.append("b"), 1.0)
    result = compare(pair, 4)
    assert "".join(calls) == "aabb" + "ab" + "ba" + "ab" + "ba"
    assert len(result.ours) == len(result.theirs) == 4
    assert all(seconds > 0 for seconds in result.ours + result.theirs)
