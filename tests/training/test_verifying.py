"""What a run says of freezing holds in the weights that it saved, or is found out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

import archspec
from archspec.cli import main
from archspec.errors import FreezeError, RunError
from archspec.freezing import FreezeProof
from archspec.training.run_folder import BEST, FREEZE, LAST, RunFolder
from archspec.training.state import BestScore

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> archspec.Run:
    """A run whose best weights are of its first plan, the last ones of its second."""
    first = iter([True, False])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BestScore, "is_better", lambda self, score: next(first))
        return archspec.train(
            HERE / "tiny.yaml", HERE / "tiny.csv", output_dir=tmp_path_factory.mktemp("runs"),
            phases="head-only:1,body-and-head:1", batch_size=8, learning_rate=1e-2, device="cpu",
            progress=False,
        )  # fmt: skip


@pytest.fixture
def run(done: archspec.Run, tmp_path: Path) -> archspec.Run:
    return archspec.Run.of(shutil.copytree(done.path, tmp_path / "run"))


def move(run: archspec.Run, file: str, name: str) -> None:
    """Another value in one place."""
    tensors = load_file(run.path / file)
    tensors[name].view(-1)[3] += 1e-6
    with RunFolder(run.path).replacing(file) as place:
        save_file(tensors, place)


def test_each_file_fits_the_proof_of_its_own_plan(done: archspec.Run) -> None:
    assert [line["best"] for line in done.epochs] == [True, False]
    told = json.loads((done.path / FREEZE).read_text())
    assert told["weights"] == {"best.safetensors": 1, "last.safetensors": 2}
    proofs = [FreezeProof.from_dict(phase["proof"]) for phase in told["phases"]]
    assert done.verify() == dict(zip(told["weights"], proofs, strict=True))
    body = "body.first.weight"
    assert body in proofs[0].hashes and body not in proofs[1].hashes
    best, last = (load_file(done.path / file) for file in (BEST, LAST))
    assert not best[body].equal(last[body])  # the first proof is not that of the last weights


@pytest.mark.parametrize(
    ("file", "name", "plan"),
    [
        (BEST, "words.weight", "head-only"),
        (BEST, "body.first.weight", "head-only"),
        (LAST, "words.weight", "body-and-head"),
    ],
)
def test_a_frozen_tensor_that_was_changed_on_disk(
    file: str, name: str, plan: str, run: archspec.Run
) -> None:
    move(run, file, name)
    with pytest.raises(FreezeError) as caught:
        run.verify()
    (problem,) = caught.value.problems
    assert problem.code == "E704" and problem.hint == ""
    assert problem.message == f"{Path(file).name}, plan {plan}: '{name}' has moved"


def test_what_is_trained_has_no_proof(run: archspec.Run) -> None:
    move(run, LAST, "body.first.weight")
    assert len(run.verify()) == 2


def test_a_proof_that_was_thinned_out(run: archspec.Run) -> None:
    told = json.loads((run.path / FREEZE).read_text())
    tensors = told["phases"][1]["proof"]["tensors"]
    del tensors["words.weight"]
    told["phases"][1]["proof"] = FreezeProof(tensors).to_dict()
    (run.path / FREEZE).write_text(json.dumps(told))
    with pytest.raises(FreezeError) as caught:
        run.verify()
    message = "last.safetensors, plan body-and-head: 'words.weight' is not in the proof"
    assert caught.value.message == message


@pytest.mark.parametrize("content", ["[]", '{"phases": 3}', '{"phases": [{}]}', '{"phases": []}'])
def test_a_file_of_proofs_that_is_none(content: str, run: archspec.Run) -> None:
    (run.path / FREEZE).write_text(content)
    with pytest.raises(RunError) as caught:
        run.verify()
    assert caught.value.code == "E920" and "freeze.json: not what a run writes" in str(caught.value)


def test_the_command(run: archspec.Run) -> None:
    def invoked(*words: str) -> Any:
        return CliRunner().invoke(main, ["runs", str(run.path), *words])

    count = len(run.verify()["best.safetensors"].hashes)
    shown = invoked("--verify")
    assert shown.exit_code == 0
    assert f"best.safetensors: {count} frozen tensors have not moved" in shown.stdout
    data = json.loads(invoked("--verify", "--json").stdout)
    assert data["verified"]["last.safetensors"] == run.verify()["last.safetensors"].digest
    move(run, BEST, "words.weight")
    shown = invoked("--verify")
    assert shown.exit_code == 1 and "error[E704]" in shown.stderr
    assert invoked().exit_code == 0
    shown = CliRunner().invoke(main, ["runs", str(run.path.parent), "--verify"])
    assert shown.exit_code != 0 and "--verify takes one run's folder" in shown.stderr
