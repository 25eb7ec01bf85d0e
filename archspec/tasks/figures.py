"""The names of scores."""

FIGURES = ("loss", "accuracy", "micro_f1", "macro_f1", "pearson", "spearman", "mse")
"""What scores may have, in the order in which it is shown."""
LOWER_IS_BETTER = ("loss", "mse")


def figure_name(key: str) -> str:
    """A score's name for people.

    >>> figure_name("macro_f1"), figure_name("loss")
    ('macro F1', 'loss')
    """
    names = {"mse": "MSE", "pearson": "Pearson", "spearman": "Spearman"}
    return names.get(key) or key.replace("_", " ").replace("f1", "F1")
