"""What ``archspec list`` knows of the packaged specs: their texts are read, nothing is checked."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

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
        ``model_type=llama`` is looked for in that text alone, and so with the other texts.
        """
        texts = {key: text for key, text in asdict(self).items() if isinstance(text, str)}
        everything = "\n".join(texts.values())
        for word in words:
            key, equals, value = word.partition("=")
            text, word = (texts[key], value) if equals and key in texts else (everything, word)
            if not re.search(f"{_START}(?i:{re.escape(word)})", text):
                return False
        return True


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
