"""MkDocs hooks: pages that are generated, and links between files of the repository."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import click
import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

# Files outside docs/ that are pages of the site, by their place in the repository.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/fashion-mnist/README.md": "examples/fashion-mnist.md",
    "examples/wordnet-topics/README.md": "examples/wordnet-topics.md",
}
SOURCES = {target: source for source, target in PAGES.items()}

_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s#:]*)(#[^)\s]*)?\)")
_ERROR_HEADING = re.compile(r"^## (E\d\d\d)(: .*)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that lie outside docs/."""
    script = (ROOT / "tools/docs/iframe-worker.js").read_text(encoding="utf-8")
    files.append(File.generated(config, "assets/iframe-worker.js", content=script))
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in what is generated, and make the links of the repository those of the site."""
    name = page.file.src_uri
    if name == "cli.md":
        markdown = markdown.replace("<!-- help of every command -->", command_help())
    if name == "language.md":
        markdown = markdown.replace("<!-- functions of forward steps -->", function_lists())
    if name == "zoo.md":
        markdown = markdown.replace("<!-- table of packaged specs -->", spec_tables())
    if name == "api.md":
        markdown = markdown.replace("<!-- options of training -->", option_table())
    if name == "errors.md":  # errors.md#e203 stays the same when the title changes
        markdown = _ERROR_HEADING.sub(lambda m: f"### {m[1]}{m[2]} {{#{m[1].lower()}}}", markdown)
    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(lambda link: site_link(link, name), part) for part in parts[::2]]
    return "".join(parts)


def site_link(link: re.Match[str], page: str) -> str:
    """A link between files of the repository, as one between pages of the site.

    A file that is no page, such as a licence, is named without a link.
    """
    text, path, anchor = link[1], link[2], link[3] or ""
    anchor = re.sub(r"^#(e\d\d\d)-.*", r"#\1", anchor)
    if not path:
        return f"[{text}]({anchor})"
    source = SOURCES.get(page, f"docs/{page}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if target.startswith("docs/"):
        target = target.removeprefix("docs/")
    elif target in PAGES:
        target = PAGES[target]
    elif (ROOT / target).exists():
        return text
    return f"[{text}]({posixpath.relpath(target, posixpath.dirname(page) or '.')}{anchor})"


class ExampleSections(griffe.Extension):
    """Griffe has a section ``Examples:``; our ``Example:`` would be an admonition to it."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            text = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
            obj.docstring.value = text.replace("\nExample::\n", "\n**Example**\n")


def command_help() -> str:
    """A section for each command: what its ``--help`` prints."""
    from archspec.cli import main

    context = main.make_context("archspec", [], resilient_parsing=True, terminal_width=88)
    return "\n".join(_help_sections(context))


def spec_tables() -> str:
    """A table of the packaged specs of each field."""
    from itertools import groupby

    from archspec.lang.catalog import catalog

    lines: list[str] = []
    for field, entries in groupby(catalog(), key=lambda entry: entry.field):
        lines += [f"## {field.capitalize()}", ""]
        lines += ["| spec | description | parameters | paper |", "| --- | --- | --- | --- |"]
        for entry in entries:
            paper = re.sub(r"arXiv:(\S+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", entry.paper)
            cells = [f"`{entry.name}`", entry.description, f"{entry.parameters:,}", paper]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def function_lists() -> str:
    """The functions of the table, by where PyTorch has them."""
    from archspec.lang.registry import functions

    kinds = {
        "F": "Layers and losses as functions (`torch.nn.functional`)",
        "torch": "Tensors (`torch`)",
        "": "Methods of tensors, which take the tensor first",
        "torch.linalg": "Linear algebra (`torch.linalg`)",
        "torch.fft": "Fourier transforms (`torch.fft`)",
    }
    found: dict[str, list[str]] = {kind: [] for kind in kinds}
    for function in map(functions.find, sorted(functions.names())):
        if function is not None and not function.registered:
            found[function.target.rpartition(".")[0]].append(f"`{function.name}`")
    return "\n\n".join(f"**{kinds[kind]}**: {', '.join(names)}" for kind, names in found.items())


def option_table() -> str:
    """The options of ``train``, a row each."""
    from archspec import TrainOptions
    from archspec.training.option_info import option_infos

    rows = ["| group | option | default | meaning |", "| --- | --- | --- | --- |"]
    for info in option_infos(TrainOptions).values():
        default = info.unset or (f"`{info.default!r}`" if info.default != () else "none")
        choices = (
            f" One of {', '.join(f'`{one}`' for one in info.choices)}." if info.choices else ""
        )
        cells = [info.group, f"`{info.name}`", default, info.description + choices]
        rows.append(f"| {' | '.join(cell.replace('<', '&lt;') for cell in cells)} |")
    return "\n".join(rows)


def _help_sections(context: click.Context) -> list[str]:
    found = [f"### {context.command_path}\n\n```text\n{context.get_help()}\n```\n"]
    commands = context.command.commands if isinstance(context.command, click.Group) else {}
    for name, command in commands.items():
        inner = command.make_context(name, [], parent=context, resilient_parsing=True)
        found += _help_sections(inner)
    return found
