"""The names of scores."""

FIGURES = (
    "loss", "perplexity",
    "entity_f1", "f1", "exact_match", "accuracy", "micro_f1", "macro_f1", "mrr",
    "accuracy_at_1", "accuracy_at_10", "pearson", "spearman", "mse", "mean_iou", "pixel_accuracy",
)  # fmt: skip
"""What scores may have, in the order in which it is shown."""
LOWER_IS_BETTER = ("loss", "perplexity", "mse")


def figure_name(key: str) -> str:
    """A score's name for people.

    >>> figure_name("macro_f1"), figure_name("accuracy_at_10")
    ('macro F1', 'accuracy@10')
    """
    names = {
        "mean_iou": "mean IoU",
        "mse": "MSE",
        "mrr": "MRR",
        "pearson": "Pearson",
        "spearman": "Spearman",
    }
    return names.get(key) or key.replace("_at_", "@").replace("_", " ").replace("f1", "F1")
