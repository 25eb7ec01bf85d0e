"""``text-classification``: one label for each text, or each pair of texts."""

from archspec.tasks.single_label import SingleLabel


class TextClassification(SingleLabel):
    kind = "text-classification"
    takes_pairs = True
