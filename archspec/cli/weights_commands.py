"""``archspec weights``: whether a checkpoint fits, the same in another layout, its values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.command import Command, option

if TYPE_CHECKING:
    from archspec.lang.spec import Spec
    from archspec.weights.loading import Examination
    from archspec.weights.tensor_names import Choices

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?)(i?)B?", re.IGNORECASE | re.ASCII)


def _bytes(ctx: click.Context, param: click.Parameter, given: str | None) -> int | None:
    """``5GB``, ``500MiB``, ``1000000``."""
    if given is None:
        return None
    found = _SIZE.fullmatch(given.strip())
    if found is None or (found[3] and not found[2]):
        raise click.BadParameter(f"'{given}' is no size such as 5GB or 500MiB")
    unit = _UNITS[found[2].upper()]
    if found[3]:
        unit = 1024 ** list(_UNITS).index(found[2].upper())
    size = int(float(found[1]) * unit)
    if size < 1:
        raise click.BadParameter(f"'{given}' is less than a byte")
    return size


_file = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))


@click.group(short_help="Check, convert or describe a checkpoint.")
def weights() -> None:
    """Check whether a checkpoint fits a spec, convert it, or describe its values.

    FILE is a safetensors file, a torch.save file (.pt, .pth, .bin, .ckpt), an index of a sharded
    checkpoint, or a folder with model.safetensors or pytorch_model.bin. No code in it is run.
    """


@weights.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@_file
@options.overrides
@options.loading
@options.as_json
def check(
    spec: str,
    file: Path,
    given: tuple[str, ...],
    config: Path | None,
    layout: str | None,
    key: str | None,
    ignore: tuple[str, ...],
    allow_missing: tuple[str, ...],
    allow_partial: bool,
    resize: dict[str, str],
    as_json: bool,
) -> None:
    """Show how the tensors of FILE map to those of the model.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder;
    for FILE, see 'archspec weights --help'. Only names, shapes and dtypes are read, and the values
    of tied tensors that FILE has twice. The model is built on the meta device. The exit status is 1
    if a tensor does not fit.

    \b
    Examples:
      archspec weights check minilm-l6 model.safetensors
      archspec weights check resnet18 resnet18.pth --layout torchvision
      archspec weights check bert bert-base/ --allow-missing classifier
      archspec weights check bert old.ckpt -p num_labels=5 --resize classifier=fresh
    """
    from archspec.weights.tensor_names import Choices

    loaded = options.load(spec, given, config)
    choices = Choices.checked(ignore, allow_missing, resize, allow_partial)
    found = _examined(loaded, file, layout, choices, key)
    if as_json:
        problems = [problem.to_dict() for problem in found.problems]
        terminal.put_json(
            {"ok": not problems, "report": found.report.to_dict(), "problems": problems}
        )
    else:
        terminal.put(found.report.text(terminal.width()))
        if found.problems:
            terminal.put("")
            terminal.put_error(archspec.WeightsError(found.problems))
    click.get_current_context().exit(1 if found.problems else 0)


@weights.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@_file
@options.overrides
@option(
    "--from",
    "layout",
    group="Weights",
    metavar="LAYOUT",
    show_default="best match",
    help="Layout of FILE: archspec, or one that 'archspec show SPEC' lists.",
)
@option(
    "--to",
    metavar="LAYOUT",
    group="Output",
    required=True,
    help="Layout to write: archspec, or one that 'archspec show SPEC' lists.",
)
@option(
    "-o",
    "--output",
    metavar="PATH",
    group="Output",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write, with the suffix .safetensors, or a folder. Existing files are "
    "overwritten.",
)
@options.key
@options.ignore
@options.allow_missing
@options.allow_partial
@option(
    "--max-shard-size",
    "max_bytes",
    group="Output",
    metavar="SIZE",
    callback=_bytes,
    show_default="one file",
    help="Split the checkpoint into shards of at most this size, such as 5GB.",
)
@options.as_json
def convert(
    spec: str,
    file: Path,
    given: tuple[str, ...],
    config: Path | None,
    to: str,
    output: Path,
    layout: str | None,
    key: str | None,
    ignore: tuple[str, ...],
    allow_missing: tuple[str, ...],
    allow_partial: bool,
    max_bytes: int | None,
    as_json: bool,
) -> None:
    """Write the weights of FILE in another layout, as safetensors.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder;
    for FILE, see 'archspec weights --help'. FILE must fit the spec. Dtypes are kept; ignored
    tensors are left out.

    \b
    Examples:
      archspec weights convert resnet18 resnet18.pth --to archspec -o ours.safetensors
      archspec weights convert resnet18 ours.safetensors --to torchvision -o theirs.safetensors
      archspec weights convert bert model.bin --to transformers -o bert/ --max-shard-size 5GB
    """
    from archspec.weights.layouts import naming_of
    from archspec.weights.saving import convert_weights
    from archspec.weights.tensor_names import Choices

    loaded = options.load(spec, given, config)
    naming = naming_of(to, loaded)
    choices = Choices.checked(ignore, allow_missing, {}, allow_partial)
    found = _examined(loaded, file, layout, choices, key)
    files = convert_weights(found, naming, output, max_bytes)
    if as_json:
        written = {"files": list(map(str, files)), "layout": to}
        terminal.put_json({**written, "report": found.report.to_dict()})
        return
    from archspec.report.text import printable

    for path in files:
        terminal.put(printable(str(path)))


@weights.command(cls=Command)
@_file
@options.key
@option(
    "--notes-only",
    is_flag=True,
    group="Output",
    help="Show only the tensors whose values may be wrong.",
)
@options.as_json
def stats(file: Path, key: str | None, notes_only: bool, as_json: bool) -> None:
    """Show statistics of the tensors in FILE, and note suspicious ones.

    For FILE, see 'archspec weights --help'; it may also be the folder of a run. Noted are values
    that are not finite, matrices of one value, several rows of zeros, and standard deviations ten
    times larger or smaller than those of similar tensors. The exit status is 0 even if something
    is noted.

    \b
    Examples:
      archspec weights stats model.safetensors
      archspec weights stats runs/topics --notes-only
    """
    from archspec.report.tables import format_rows
    from archspec.report.text import printable
    from archspec.weights import weight_statistics

    found = weight_statistics(file, key)
    noted = [one for one in found if one.notes]
    shown = noted if notes_only else found
    if as_json:
        terminal.put_json([one.to_dict() for one in shown])
        return
    heads = ("tensor", "shape", "mean", "std", "lowest", "highest", "zeros")
    rows = [
        (
            one.name,
            str(list(one.shape)),
            *(
                "-" if n is None else f"{n:.4g}"
                for n in (one.mean, one.std, one.lowest, one.highest)
            ),
            f"{one.zeros:.1%}",
        )
        for one in shown
    ]
    if rows:
        terminal.put(format_rows([heads, *rows]))
    for one in noted:
        terminal.put(f"{printable(one.name)}: {'; '.join(one.notes)}")
    terminal.put(f"{len(found):,} tensors, {len(noted):,} of them noted")


def _examined(
    spec: Spec, file: Path, layout: str | None, choices: Choices, key: str | None
) -> Examination:
    from archspec.weights.loading import Examination

    model = cast(Any, archspec.build)(spec, device="meta")
    return Examination.of(model, file, spec, layout, choices, key)
