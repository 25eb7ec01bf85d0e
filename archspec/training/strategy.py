"""Lightning's strategy for several processes, with a model in parts instead of copies."""

from __future__ import annotations

from archspec.training.classifier_module import ClassifierModule
from archspec.training.lightning_import import DDPStrategy
from archspec.training.sharding import shard


class Sharded(DDPStrategy):
    """DDP but for the model, which is split: Lightning's own FSDP asks for a GPU."""

    def model_to_device(self) -> None:
        """Not as a whole: it may be too large for a device."""

    def configure_ddp(self) -> None:
        """Split it, before it gets its optimizer."""
        classifier = self.lightning_module
        assert isinstance(classifier, ClassifierModule)
        shard(classifier.model, self.root_device)
        classifier.to(self.root_device)
