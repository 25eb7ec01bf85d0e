"""Weighted, smoothed and focal losses: against formulas, over batches of a step, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import archspec
from archspec.data import batches, encoder_for
from archspec.tasks.classification import Criterion
from archspec.tasks.multi_label import MultiLabel
from archspec.tasks.single_label import SingleLabel
from archspec.training.run_folder import METRICS, lines_of
from tests.tables import every

HERE = Path(__file__).parent
WEIGHTS = [0.5, 3.0, 1.5]


class Single(SingleLabel):
    kind = "text-classification"


class Several(MultiLabel):
    kind = "text-classification"


def focal(logits: Tensor, labels: Tensor, gamma: float, weights: Tensor) -> Tensor:
    shares = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    each = weights[labels] * -((1 - shares) ** gamma) * shares.log()
    return each.sum() / weights[labels].sum()


def focal_of_several(logits: Tensor, targets: Tensor, gamma: float, weights: Tensor) -> Tensor:
    p = logits.sigmoid()
    right = -weights * targets * (1 - p) ** gamma * p.log()
    return (right - (1 - targets) * p**gamma * (1 - p).log()).mean()


def test_losses_are_those_of_formulas() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 3, requires_grad=True), torch.tensor([0, 1, 2, 1, 1, 0, 2])
    targets, weights, ones = torch.randint(0, 2, (7, 3)).float(), torch.tensor(WEIGHTS), [1.0] * 3
    for criterion, single, several in [
        (
            Criterion(),
            F.cross_entropy(logits, labels),
            F.binary_cross_entropy_with_logits(logits, targets),
        ),
        (
            Criterion(WEIGHTS, 0.2),
            F.cross_entropy(logits, labels, weights, label_smoothing=0.2),
            F.binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1, pos_weight=weights),
        ),
        (
            Criterion(WEIGHTS, gamma=2.0),
            focal(logits, labels, 2, weights),
            focal_of_several(logits, targets, 2, weights),
        ),
        (
            Criterion(gamma=0.5),
            focal(logits, labels, 0.5, torch.tensor(ones)),
            focal_of_several(logits, targets, 0.5, torch.tensor(ones)),
        ),
    ]:  # fmt: skip
        for kind, truth, expected in ((Single, labels, single), (Several, targets, several)):
            objective = kind(list("abc"))
            objective.criterion = criterion
            with torch.inference_mode():  # as an evaluation that comes first
                objective.loss(logits, {"labels": truth}, 5)
            loss = objective.loss(logits, {"labels": truth}, 7)
            torch.testing.assert_close(loss.mean, expected)
            assert objective.items(truth.numpy()) == pytest.approx(float(loss.items))
            metrics = objective.metrics(torch.device("cpu"))
            for part in (slice(0, 3), slice(3, 7)):
                metrics.add(logits[part].detach(), {"labels": truth[part]}, len(truth[part]))
            scores = metrics.scores()
            assert scores.count == 7 and scores.loss == pytest.approx(expected.item())
    certain = torch.tensor([[200.0, -200.0]], requires_grad=True)
    Criterion(gamma=0.5).single(certain, torch.tensor([0])).sum.backward()
    assert certain.grad is not None and certain.grad.isfinite().all()


def test_a_step_is_the_weighted_mean_of_its_batches(tmp_path: Path) -> None:
    weights = tmp_path / "weights.csv"
    weights.write_text("label,weight\nyes,0.5\nno,3\n")
    given: dict[str, Any] = {
        "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 0.1,
        "schedule": "constant", "max_grad_norm": 0, "batch_size": 9, "epochs": 1,
        "accumulate_grad_batches": 3, "validation_fraction": 0.2, "device": "cpu",
        "progress": False, "output_dir": tmp_path / "runs", "class_weights": weights,
        "label_smoothing": 0.1, "p": 0.0,
    }  # fmt: skip
    run = archspec.train(HERE / "tiny.yaml", HERE / "tiny.csv", **given)
    assert run.options.class_weights == {"no": 3.0, "yes": 0.5}  # the file may change
    assert "class weights: no 3, yes 0.5" in run.facts["weights"]["notes"]
    spec = archspec.load(run.path / "spec.yaml")
    rows = archspec.open_data(
        HERE / "tiny.csv", task=spec.architecture.task, validation_fraction=0.2
    ).splits["train"]
    model = archspec.build(spec, device="cpu", seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses: list[float] = []
    parts = [*batches(rows, encoder_for(spec), batch_size=9, shuffle=True)]
    for step in (parts[i : i + 3] for i in range(0, len(parts), 3)):
        outputs = [
            model(**{k: v for k, v in part.items() if k not in ("labels", "rows")}) for part in step
        ]
        loss = F.cross_entropy(
            torch.cat(outputs),
            torch.cat([part["labels"] for part in step]),
            torch.tensor([3.0, 0.5]),
            label_smoothing=0.1,
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    steps = [one for one in lines_of((run.path / METRICS).read_text()) if one["kind"] == "step"]
    assert len(parts) % 3 and len(losses) > 1
    assert [line["loss"] for line in steps] == pytest.approx(losses, rel=1e-5)


NO, YES = 10, 30


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with lists of labels beside rows with one."""
    path = tmp_path_factory.mktemp("data") / "data.csv"
    rows = [f"a film {i % 7},{'no' if i < NO else 'yes'}" for i in range(NO + YES)]
    path.write_text("\n".join(["text,label", *rows]))
    return path


def test_balanced_weights(uneven: Path, tmp_path: Path) -> None:
    from archspec.data.class_weights import class_weight_notes, class_weights

    task = archspec.load(HERE / "tiny.yaml").architecture.task
    data = archspec.open_data(uneven, task=task, labels=["yes", "so", "no"], validation_fraction=0)
    expected = [(NO + YES) / (2 * YES), 1.0, (NO + YES) / (2 * NO)]
    assert class_weights(data, "balanced") == expected
    assert class_weight_notes(data, "balanced")[1].endswith("class weight is 1: so")
    lists = [{"text": f"a film {i}", "labels": ["b"] if i else ["a", "b"]} for i in range(8)]
    several = archspec.open_data(lists, task=task, validation_fraction=0)
    assert class_weights(several, "balanced") == [7.0, 1.0]  # negatives per positive; b is in all


@every(
    "given, code, message",
    [
        ({"class_weights": {"no": 2}}, "E906", "no class weight for yes"),
        ({"class_weights": {"no": 2, "yes": 1, "so": 1}}, "E906", "does not have: so"),
        ({"class_weights": {"no": 0, "yes": 1}}, "E801", "the weight of 'no' must be"),
        ({"class_weights": {"no": True, "yes": 1}}, "E801", "the weight of 'no' must be"),
        ({"class_weights": 3}, "E801", "balanced, a file, or a mapping"),
        ({"class_weights": {}}, "E801", "balanced, a file, or a mapping"),
        ({"class_weights": "none.yaml"}, "E106", "none.yaml: no such file"),
        ({"class_weights": "none.csv"}, "E906", "none.csv: No such file"),
        ({"class_weights": "no: x\nyes: 1\n"}, "E906", "the weight of 'no' must be"),
        ({"class_weights": "no: 1\nno: 2\n"}, "E102", "no"),
        ({"class_weights": "label,weight\nno,1\nno,2\n"}, "E906", "'no' is there twice"),
        ({"class_weights": "no,1\n"}, "E906", "the first line is not 'label,weight'"),
        ({"class_weights": "label,weight\nno,1,2\n"}, "E906", "not two cells"),
        ({"class_weights": "label,weight\nno,nan\n"}, "E906", "the weight of 'no' must be"),
        ({"label_smoothing": 1}, "E801", "label_smoothing must be a number from 0 to below 1"),
        ({"focal_gamma": -1}, "E801", "focal_gamma must be a number from 0 to 100"),
        ({"focal_gamma": 2, "label_smoothing": 0.1}, "E801", "are two losses: choose one"),
        ({"focal_gamma": 2, "loss": print}, "E801", "focal_gamma has no effect: the loss is your"),
        ({"label_smoothing": 0.1, "task": "text-regression"}, "E801", "regression does not take"),
    ],
)
def test_what_is_refused(
    given: dict[str, Any], code: str, message: str, uneven: Path, tmp_path: Path
) -> None:
    text = given.get("class_weights")
    if isinstance(text, str) and "\n" in text:
        file = tmp_path / ("weights.csv" if "," in text else "weights.yaml")
        file.write_text(text)
        given = {"class_weights": file}
    with pytest.raises(archspec.ArchspecError) as caught:
        archspec.train(HERE / "tiny.yaml", uneven, output_dir=tmp_path / "runs", **given)
    assert caught.value.code == code and message in str(caught.value)
    assert not (tmp_path / "runs").exists()
