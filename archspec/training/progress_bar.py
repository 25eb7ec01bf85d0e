"""How far a run is, on standard error."""

from __future__ import annotations

from typing import Any

from rich.progress import Progress, TaskID, TextColumn

from archspec.report.progress import bar, is_seen
from archspec.training.classifier_module import ClassifierModule
from archspec.training.lightning_import import pl


class Bar(pl.Callback):
    """One bar for the whole run; nothing is drawn where standard error is no terminal."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.progress: Progress | None = None
        self.task = TaskID(0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or not is_seen():
            return
        self.progress = bar(TextColumn("{task.fields[loss]}"))
        self.task = self.progress.add_task("", total=None, loss="")
        self._show(pl_module)
        self.progress.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if self.progress is not None:
            self._show(pl_module)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.progress is not None:
            self.progress.update(self.task, description="validating")

    def _show(self, module: pl.LightningModule) -> None:
        assert isinstance(module, ClassifierModule) and self.progress is not None
        at, batches = module.position, module.feed.train_batches
        epoch = min(at.epoch + 1, self.epochs)
        loss = f"loss {at.loss / at.samples:.4f}" if at.samples else ""
        self.progress.update(
            self.task,
            description=f"epoch {epoch} of {self.epochs}",
            completed=at.epoch * batches + at.batch,
            total=self.epochs * batches,
            loss=loss,
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
