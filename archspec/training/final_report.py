"""The report on the best weights of a classification or segmentation, in the run's folder."""

from __future__ import annotations

import torch

from archspec.evaluation.class_report import class_report
from archspec.evaluation.outcomes import MAX_NUMBERS, Outcome, OutcomeMetrics
from archspec.evaluation.pages import MAX_PICTURE, confusion_svg, markdown, picture_name
from archspec.evaluation.segmentation_report import segmentation_report
from archspec.tasks import labels_pixels
from archspec.tasks.classification import Classification
from archspec.tasks.objective import Metrics, Scores
from archspec.training.data_feed import DataFeed
from archspec.training.run import Run
from archspec.training.run_folder import PAGE, REPORT, RunFolder


class FinalReport:
    """Collects what the best weights do on validation and test, and writes it down.

    Args:
        feed: of the run.

    Attributes:
        splits: what is to be evaluated once more: all that is not training for a classification,
            and for a segmentation, only the test for other tasks.
    """

    def __init__(self, feed: DataFeed) -> None:
        self.feed = feed
        names = [name for name in ("validation", "test") if name in feed.data.splits]
        self.has_masks = labels_pixels(feed.data.task_kind)
        all_splits = self.has_masks
        self.splits = [one for one in names if one == "test" or all_splits or self._is_kept(one)]
        self.scores = dict[str, Scores]()
        self.outcomes = dict[str, Outcome]()

    def _is_kept(self, split: str) -> bool:
        """Whether all that the model says of a split is kept, which takes memory."""
        count = len(self.feed.data.splits[split]) * len(self.feed.data.labels)
        return isinstance(self.feed.objective, Classification) and count <= MAX_NUMBERS

    def metrics(self, split: str, device: torch.device) -> Metrics:
        """What the evaluation of a split adds to."""
        objective = self.feed.objective
        if isinstance(objective, Classification) and self._is_kept(split):
            return OutcomeMetrics(objective, device)
        return self.feed.metrics(split, device)

    def add(self, split: str, scores: Scores, metrics: Metrics) -> None:
        """A split is evaluated."""
        self.scores[split] = scores
        if isinstance(metrics, OutcomeMetrics):
            self.outcomes[split] = metrics.outcome()

    def write(self, folder: RunFolder) -> str:
        """Write the report as a page with its pictures, and as JSON.

        Returns:
            The name of the page; empty where there is no report.

        Raises:
            RunError: E921, it cannot be written.
        """
        if self.has_masks:
            report = segmentation_report(self.feed.data.labels, self.scores)
        elif self.outcomes:
            report = class_report(self.feed.data, self.scores, self.outcomes)
        else:
            return ""
        run = Run.of(folder.path)
        for name, split in report["splits"].items():
            if "confusion" in split and len(report["labels"]) <= MAX_PICTURE:
                picture = confusion_svg(report["labels"], split["confusion"])
                folder.write(picture_name(name), picture)
        folder.write(PAGE, markdown(folder.path.name, _facts(run), report))
        folder.write_json(REPORT, report)
        return PAGE


def _facts(run: Run) -> list[tuple[str, str]]:
    facts, best = run.facts, run.best or {}
    counts = facts.get("data", {}).get("counts", {})
    return [
        ("spec", str(facts.get("spec"))),
        ("plan", str(facts.get("plan"))),
        ("data", ", ".join(f"{name} {count:,}" for name, count in counts.items())),
        ("best epoch", f"{best.get('epoch')} of {len(run.epochs)}"),
        ("seed", str(facts.get("seed"))),
    ]
