"""What a model is and what it costs, before it is given any memory.

``inspecting`` builds and runs; ``measure`` watches the run; ``tree`` and ``memory`` add up;
``figures`` and ``report`` are the result; ``summary_table`` is torchinfo's view of it.
"""

from archspec.inspection.figures import Figure, Memory, Node
from archspec.inspection.inspecting import inspect, largest_batch
from archspec.inspection.report import Inspection

__all__ = ["Figure", "Inspection", "Memory", "Node", "inspect", "largest_batch"]
