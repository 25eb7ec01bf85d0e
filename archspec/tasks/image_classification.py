"""``image-classification``: one label for each image."""

from archspec.tasks.single_label import SingleLabel


class ImageClassification(SingleLabel):
    kind = "image-classification"
