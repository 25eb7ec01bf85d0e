"""``archspec draw``: pictures of a spec's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archspec.cli import options, terminal
from archspec.cli.command import Command, option

if TYPE_CHECKING:
    from archspec.drawing import Drawing
    from archspec.lang.spec import Spec

_FORMATS = ("svg", "png", "dot", "html")


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@options.overrides
@options.freeze
@options.max_operations
@options.batch
@options.dim
@option(
    "--block",
    metavar="BLOCK",
    group="Output",
    show_default="none: draw the hierarchy",
    help="Draw the data flow of one block, given by its type or path.",
)
@option(
    "--all",
    "everything",
    is_flag=True,
    group="Output",
    help="Draw the hierarchy and all blocks, linked to each other, into the folder given by -o.",
)
@option(
    "--to",
    type=click.Choice(_FORMATS),
    show_default="from the suffix of the file, or svg",
    group="Output",
    help="Output format; html is a page on which blocks open in place.",
)
@option(
    "--against",
    metavar="SPEC",
    type=options.SpecName(),
    group="Output",
    show_default="none",
    help="Another spec: the page of --to html shows which modules differ from it.",
)
@option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(allow_dash=True, path_type=Path),
    show_default="standard output",
    group="Output",
    help="File to write, or folder for --all. Existing files are overwritten.",
)
@options.as_json
def draw(
    spec: str,
    given: tuple[str, ...],
    config: Path | None,
    block: str | None,
    everything: bool,
    to: str | None,
    against: str | None,
    freeze: tuple[str, ...],
    batch: int | None,
    sizes: dict[str, int],
    output: Path | None,
    as_json: bool,
) -> None:
    """Draw the module hierarchy of a model, or the data flow of a block.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    Colors show what is trainable under a freeze plan, arrows are labeled with shapes, and
    consecutive equal modules share one box. With --to html, the whole model is one page to pan,
    zoom and search, which works without a network. SVG and PNG need Graphviz: 'dot' on the PATH, or
    'pip install graphviz-pure'.

    \b
    Examples:
      archspec draw bert -o bert.svg
      archspec draw bert --block BertLayer --freeze last-2-and-head -o layer.png
      archspec draw resnet18 --block "layer2[0]" --batch 8 --to dot
      archspec draw bert --all -o pictures
      archspec draw bert -o bert.html
      archspec draw resnet34 --against resnet18 -o difference.html
    """
    sizes = options.dims_with_batch(sizes, batch)
    if as_json and (to or everything):
        raise click.UsageError("--json goes with neither --to nor --all")
    if everything and (block is not None or output is None):
        raise click.UsageError("--all takes -o FOLDER, and no --block")
    suffix = output.suffix.removeprefix(".").lower() if output and not everything else ""
    to = to or suffix or "svg"
    if to == "html" and not as_json and (everything or block is not None):
        raise click.UsageError("html has the whole model: it goes with neither --block nor --all")
    if against is not None and (to != "html" or as_json):
        raise click.UsageError("--against goes with --to html")
    loaded = options.load(spec, given, config)
    plan = options.plan(loaded, freeze)
    if everything and output is not None:
        _put_all(loaded, plan, sizes, to, output)
        return

    from archspec.drawing import draw as drawn
    from archspec.drawing import draw_canvas

    if to == "html" and not as_json:
        other = None if against is None else options.load(against, (), None)
        page = draw_canvas(loaded, freeze=plan, against=other, **sizes).html
        terminal.write_text(page, output)
        return
    drawing = drawn(loaded, block=block, freeze=plan, **sizes)
    if as_json:
        terminal.write_text(terminal.json_text(drawing.to_dict()) + "\n", output)
    else:
        _put(drawing, to, output)


def _put(drawing: Drawing, to: str, output: Path | None) -> None:
    to_stream = output is None or output == Path("-")
    if to == "png" and to_stream:
        terminal.put_bytes(drawing.png())
    elif to == "png":
        terminal.write_bytes(drawing.png(), output or Path())
    else:
        terminal.write_text(drawing.data(to).decode(), output)


def _put_all(
    loaded: Spec, freeze: str | list[str] | None, sizes: dict[str, int], to: str, folder: Path
) -> None:
    from archspec.drawing import draw_all
    from archspec.report.text import printable

    found = draw_all(loaded, freeze=freeze, **sizes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.FileError(str(folder), error.strerror) from None
    for name, drawing in found.items():
        terminal.write_bytes(drawing.data(to), folder / f"{name}.{to}")
    start = folder / f"index.{to}"
    terminal.put(printable(f"{len(found)} drawings; begin with {start}"))
