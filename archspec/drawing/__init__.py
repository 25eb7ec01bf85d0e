"""Pictures of a model, by Graphviz: the hierarchy of its modules, the data flow of a block.

``drawn_model`` builds the model; ``hierarchy`` reads its tree, ``flow_recorder`` records a forward
pass; ``folding`` makes the graph smaller; ``diagram`` is the graph as data, which ``dot``,
``graphviz_engines`` and ``plain_text`` show; ``drawing`` is the result, ``pictures`` makes it.
"""

from archspec.drawing.diagram import Arrow, Box
from archspec.drawing.drawing import Drawing
from archspec.drawing.pictures import draw, draw_all

__all__ = ["Arrow", "Box", "Drawing", "draw", "draw_all"]
