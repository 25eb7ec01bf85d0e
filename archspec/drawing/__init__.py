"""Pictures of a model, by Graphviz: the hierarchy of its modules, the data flow of a block.

``subject`` builds the model; ``hierarchy`` looks at its tree, ``recording`` at a forward while it
runs; ``folding`` makes it fit; ``diagram`` has the results' types; ``dot`` and ``engines`` show
them; ``album`` puts it all together.
"""

from archspec.drawing.diagram import Arrow, Box
from archspec.drawing.drawing import Drawing
from archspec.drawing.pictures import draw, draw_all

__all__ = ["Arrow", "Box", "Drawing", "draw", "draw_all"]
