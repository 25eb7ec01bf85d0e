"""What the fuzzer found and was mended: each case goes through everything, or is refused by us."""

from __future__ import annotations

from pathlib import Path

from tools.fuzz.judging import Finding, judge, warm_up

CASES = sorted((Path(__file__).parent / "inputs/fuzz").glob("*.yaml"))


def test_no_case_is_a_finding_again() -> None:
    assert CASES
    warm_up()
    judged = {path.name: judged_again(path.read_text("utf-8")) for path in CASES}
    found = [f"{name}: {finding}" for name, finding in judged.items() if finding is not None]
    assert not found, "\n".join(found)


def judged_again(text: str) -> Finding | None:
    """What is slow once only, as a first import is, or beside other tests, is no finding."""
    finding, _ = judge(text)
    return judge(text)[0] if finding is not None and finding.kind == "slow" else finding
