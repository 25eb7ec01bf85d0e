"""``text-classification``: one label, or several, for each text or pair of texts."""

from archspec.tasks.multi_label import MultiLabel
from archspec.tasks.single_label import SingleLabel


class TextClassification(SingleLabel):
    kind = "text-classification"
    takes_pairs = True


class MultiLabelTextClassification(MultiLabel):
    kind = "text-classification"
    takes_pairs = True
