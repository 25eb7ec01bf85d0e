"""Pictures of a model: the hierarchy of its modules, the data flow of a block, all on one canvas.

``drawn_model`` builds the model; ``hierarchy`` reads its tree, ``flow_recorder`` records a forward
pass; ``folding`` makes the graph smaller; ``diagram`` is the graph as data, which ``dot``,
``graphviz_engines`` and ``plain_text`` show; ``drawing`` is the result, ``pictures`` makes it.
``canvas`` is the data of all blocks at once, ``module_changes`` what
differs in them from another spec, ``canvas_page`` the page that shows it with the
scripts of ``assets``.
"""

from archspec.drawing.canvas import Canvas, draw_canvas
from archspec.drawing.diagram import Arrow, Box
from archspec.drawing.drawing import Drawing
from archspec.drawing.pictures import draw, draw_all

__all__ = ["Arrow", "Box", "Canvas", "Drawing", "draw", "draw_all", "draw_canvas"]
