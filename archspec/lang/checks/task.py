"""The numbers and names of ``task``."""

from __future__ import annotations

from archspec.lang.checker import Checker


def check_task(checker: Checker) -> None:
    """Whether the numbers of an image's preprocessing go together, and no class occurs twice."""
    task = checker.architecture.task
    image = task.image if task else None
    for key in ("mean", "std") if image else ():
        given: list[float] = getattr(image, key)
        least = 0 if key == "std" else float("-inf")
        if image and (len(given) != image.channels or not all(least < v < 1e6 for v in given)):
            at = ("task", "image", key)
            path = at if checker.document.has(at) else at[:2]
            above = " above 0" if key == "std" else ""
            hint = f"with channels: {image.channels}, write one number{above} for each channel"
            checker.add("E202", f"{key} does not fit the image's channels", path, hint=hint)
    labels = task.labels if task and task.labels else []
    for i, name in enumerate(labels):
        if name in labels[:i]:
            checker.add("E202", f"the class '{name}' occurs twice", ("task", "labels", i))
