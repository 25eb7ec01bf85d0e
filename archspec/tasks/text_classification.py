"""``text-classification``: one label for each text."""

from archspec.tasks.single_label import SingleLabel


class TextClassification(SingleLabel):
    kind = "text-classification"
