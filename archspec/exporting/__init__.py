"""What is made of a run: a folder that others open, a model card, weights with merged adapters."""

from archspec.exporting.merging import merge
from archspec.exporting.run_export import export

__all__ = ["export", "merge"]
