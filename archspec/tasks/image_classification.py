"""``image-classification``: one label, or several, for each image."""

from archspec.tasks.multi_label import MultiLabel
from archspec.tasks.single_label import SingleLabel


class ImageClassification(SingleLabel):
    kind = "image-classification"


class MultiLabelImageClassification(MultiLabel):
    kind = "image-classification"
