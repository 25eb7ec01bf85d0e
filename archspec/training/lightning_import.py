"""PyTorch Lightning, imported in the one place that knows what may be in its way."""

from archspec.training.environment import importable

with importable():
    import pytorch_lightning as pl
    from pytorch_lightning.strategies import DDPStrategy

__all__ = ["DDPStrategy", "pl"]
