"""What a model is and what it costs, before it is given any memory.

``inspecting`` builds and runs; ``measure`` watches the run; ``tree`` and ``memory`` add up;
``report`` has the results' types; ``rendering`` and ``summary_table`` show them.
"""

from archspec.inspection.inspecting import inspect, largest_batch
from archspec.inspection.report import Figure, Inspection, Memory, Node

__all__ = ["Figure", "Inspection", "Memory", "Node", "inspect", "largest_batch"]
