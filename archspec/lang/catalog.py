"""What ``archspec list`` knows of the packaged specs: their texts are read, nothing is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from archspec.lang import inherit, yaml
from archspec.lang.packaged import packaged_specs, parameter_counts

_START = r"(?:(?<![^\W\d_])|(?<=[a-z])(?=[A-Z]))"  # not behind a letter, but for a capital


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A packaged spec.

    Attributes:
        name: which every command takes.
        field: ``text``, ``vision``, ``audio`` or ``multimodal``.
        model: the class of the root.
        parameters: their exact number at the default size; shared ones count once.
        task: what the model is for; empty if the spec does not say it.
        description: in one line.
        paper: where it was published.
        model_type: of the ``config.json`` files that it reads; empty for none.
    """

    name: str
    field: str
    model: str
    parameters: int
    task: str
    description: str
    paper: str
    model_type: str

    def matches(self, *words: str) -> bool:
        """Whether a word of its texts begins with each of these, in lower or upper case.

        A word begins behind all but a letter, and with a capital: ``net`` finds ``ResNet``.
        """
        texts = (self.name, self.field, self.model, self.task)
        texts += (self.description, self.paper, self.model_type)
        text = "\n".join(texts)
        return all(re.search(f"{_START}(?i:{re.escape(word)})", text) for word in words)


def catalog() -> list[CatalogEntry]:
    """Every packaged spec, by field and name."""
    counts, entries = parameter_counts(), list[CatalogEntry]()
    for name, path in packaged_specs().items():
        root = inherit.read(name)[0].root

        def said(*keys: str, root: yaml.Mapping = root) -> str:
            node = yaml.find(root, keys)
            items = node.items if isinstance(node, yaml.Listing) else (node,)
            return ", ".join(str(yaml.plain(one)) for one in items if isinstance(one, yaml.Scalar))

        texts = {"description": said("description"), "paper": said("paper")}
        texts |= {"task": said("task", "kind"), "model_type": said("config", "model_type")}
        entries.append(
            CatalogEntry(
                name, path.parent.name, said("model"), parameters=counts.get(name, 0), **texts
            )
        )
    return sorted(entries, key=lambda entry: (entry.field, entry.name))
