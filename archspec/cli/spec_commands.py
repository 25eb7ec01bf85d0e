"""The commands: each parses, calls the library and prints.

The library is imported where it is used, so that help and completion answer at once, and only
``build`` waits for torch.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.command import Command, option
from archspec.errors import ArchspecError

if TYPE_CHECKING:
    from archspec.lang.json_file import JsonFile
    from archspec.lang.params import Override


@click.command("list", cls=Command)
@click.argument("words", metavar="[SEARCH]...", nargs=-1)
@options.as_json
def list_specs(words: tuple[str, ...], as_json: bool) -> None:
    """List the packaged specs, which every command takes by name.

    Shows the name, field, number of parameters, task and description of each. With SEARCH, lists
    only the specs that contain every word, in the columns shown or in the model class, paper or
    model_type. KEY=WORD searches one key of the --json output.

    \b
    Examples:
      archspec list
      archspec list vision
      archspec list model_type=llama
      archspec list image-classification 2015
      archspec list --json
    """
    from dataclasses import asdict

    from archspec.lang.catalog import catalog
    from archspec.report.numbers import format_count
    from archspec.report.tables import format_rows

    entries = [entry for entry in catalog() if entry.matches(*words)]
    if as_json:
        terminal.put_json([asdict(entry) for entry in entries])
        return
    rows = [(e.name, e.field, format_count(e.parameters), e.task, e.description) for e in entries]
    if rows:
        terminal.put(format_rows(rows, terminal.width()))
    else:
        terminal.put("no packaged spec has all of these words", err=True)


@click.command(cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=options.SpecName())
@options.overrides
@options.as_json
def validate(
    files: tuple[str, ...], given: tuple[str, ...], config: Path | None, as_json: bool
) -> None:
    """Check specs without building them.

    FILE is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    All errors of all files are reported at once, each with its location and a hint. PyTorch is not
    imported.

    \b
    Examples:
      archspec validate my-model.yaml
      archspec validate models/*.yaml
      archspec validate bert -p num_attention_heads=7
      archspec validate --json my-model.yaml
    """
    gc.set_threshold(100_000)  # what a spec consists of lives until it is checked
    overrides, config_file = options.given_values(given, config)
    results: list[dict[str, Any]] = []
    for file in files:
        error = _error_of(file, overrides, config_file)
        problems = [problem.to_dict() for problem in error.problems] if error else []
        results.append({"file": file, "ok": not error, "problems": problems})
        if not as_json:
            _tell(file, error, among_others=len(files) > 1)
    if as_json:
        terminal.put_json(results)
    elif len(files) > 1:
        terminal.put(f"{sum(result['ok'] for result in results)} of {len(results)} ok", err=True)
    click.get_current_context().exit(0 if all(result["ok"] for result in results) else 1)


def _error_of(
    file: str, overrides: Mapping[str, Override], config: JsonFile | None
) -> ArchspecError | None:
    try:
        options.load_with(file, overrides, config)
    except ArchspecError as error:
        return error
    return None


def _tell(file: str, error: ArchspecError | None, *, among_others: bool) -> None:
    from archspec.report.text import printable

    if error is None:
        terminal.put(f"{printable(file)}: ok")
        return
    terminal.put_error(error)
    if among_others:
        count = len(error.problems)
        terminal.put(f"{printable(file)}: {count} problem{'s' * (count > 1)}", err=True)


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@options.overrides
@options.as_json
def show(spec: str, given: tuple[str, ...], config: Path | None, as_json: bool) -> None:
    """Show a spec with all values resolved.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    Shows each parameter with its value, type and origin, the blocks, the module tree with repeated
    modules folded, the freeze plans and the checkpoint layouts. Nothing is built.

    \b
    Examples:
      archspec show bert
      archspec show resnet50 -p num_classes=10
      archspec show bert --config config.json
      archspec show bert --json
    """
    from archspec.cli import json_documents, spec_text
    from archspec.report.text import printable

    loaded = options.load(spec, given, config)
    if as_json:
        terminal.put_json(json_documents.of_spec(loaded))
        return
    architecture = loaded.architecture
    name = click.style(printable(loaded.name), bold=True)
    terminal.put(f"{name}: {architecture.model}")
    for line in filter(None, [architecture.description, architecture.paper]):
        terminal.put(printable(line))
    for title, text in spec_text.format_sections(loaded, terminal.width()).items():
        terminal.put(f"\n{click.style(title, bold=True)}\n{text}")


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@options.overrides
@options.freeze
@options.max_operations
@option(
    "--seed",
    metavar="INT",
    type=click.IntRange(0, 2**32 - 1),
    show_default="random",
    group="Model",
    help="Random seed for initialization.",
)
@option(
    "--weights",
    metavar="PATH",
    type=click.Path(path_type=Path),
    show_default="none: random initialization",
    group="Weights",
    help="Checkpoint to load: a safetensors file, a torch.save file, or a folder with "
    "model.safetensors.",
)
@options.loading
@options.device("mps", "meta")
@option(
    "--dtype",
    metavar="NAME",
    show_default="float32",
    group="Hardware",
    help="Floating-point dtype: float32, float64, float16 or bfloat16.",
)
@options.as_json
def build(
    spec: str,
    given: tuple[str, ...],
    config: Path | None,
    device: str,
    dtype: str | None,
    weights: Path | None,
    freeze: tuple[str, ...],
    seed: int | None,
    as_json: bool,
    **loading: Any,
) -> None:
    """Build a spec as a PyTorch module; print its tree and parameter counts.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    Shapes are checked during the build. Shared tensors are counted once. With --device meta no
    memory is allocated. The model is not saved.

    \b
    Examples:
      archspec build bert --device meta
      archspec build resnet18 -p num_classes=10 --freeze head-only
      archspec build minilm-l6 --weights model.safetensors
      archspec build bert --device cuda:0 --dtype bfloat16 --seed 0
    """
    from archspec.cli import json_documents, spec_text
    from archspec.report.text import printable_lines

    loaded = options.load(spec, given, config)
    plan = options.plan(loaded, freeze)
    builder = archspec.build  # importing torch is no part of the time
    start = time.perf_counter()
    how = {"device": device, "dtype": dtype, "seed": seed}
    model = builder(loaded, weights=weights, freeze=plan, **loading, **how)
    facts = {**json_documents.of_model(model), "seconds": time.perf_counter() - start}
    if as_json:
        named = {"name": loaded.name, "model": loaded.architecture.model}
        terminal.put_json({**named, **facts, "tree": str(model)})
        return
    terminal.put(printable_lines(str(model)))
    terminal.put(
        "\nExact, shared tensors counted once\n" + spec_text.format_counts(facts, terminal.width())
    )


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@options.overrides
@click.option(
    "--to",
    type=click.Choice(["python", "folder", "transformers"]),
    required=True,
    help="Output format; folder and transformers take the folder of a run.",
)
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(allow_dash=True, path_type=Path),
    show_default="standard output, for python",
    help="python: file to write, overwritten if it exists. folder and transformers: new folder.",
)
def export(
    spec: str, given: tuple[str, ...], config: Path | None, to: str, output: Path | None
) -> None:
    """Export a spec or a trained model to run without archspec.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    The format python is a Python module that only needs PyTorch: the code that 'archspec build'
    runs. The parameters of the spec are the fields of its Config, with the spec's values as
    defaults.

    If SPEC is the folder of a run, the formats folder and transformers write its model to a new
    folder, which -o names: the weights of the best epoch with any adapter merged in, the tokenizer
    and a model card. The format folder has a Python module beside the weights; transformers can be
    loaded with from_pretrained.

    \b
    Examples:
      archspec export resnet18 --to python
      archspec export bert --to python -o bert.py
      archspec export bert -p num_labels=5 --to python -o bert.py
      archspec export runs/topics --to folder -o topics
      archspec export runs/topics --to transformers -o topics
    """
    if to != "python":
        _export_run(spec, given, config, to, output)
        return
    if output is not None and output.is_dir():
        raise click.UsageError("--to python writes a file, and -o names a folder")
    from archspec.codegen import generate

    loaded = options.load(spec, given, config)
    terminal.write_text(generate(loaded).text, output)


def _export_run(
    run: str, given: tuple[str, ...], config: Path | None, to: str, output: Path | None
) -> None:
    if given or config is not None:
        raise click.UsageError("a run has its own spec: no parameters or config can be given")
    if output is None:
        raise click.UsageError(f"--to {to} writes a folder: give it with -o")
    from archspec.report.text import printable

    files = archspec.export(run, output, to="folder" if to == "folder" else "transformers")
    for file in files:
        terminal.put(printable(str(file)))


@click.command(cls=Command)
@options.output
def schema(output: Path | None) -> None:
    """Print the JSON Schema of specs, for editors.

    With it, an editor with a YAML language server completes keys, layers and their arguments and
    underlines errors.

    \b
    Examples:
      archspec schema
      archspec schema -o archspec.schema.json

    \b
    To use it in an editor, start a spec with this line:
      # yaml-language-server: $schema=archspec.schema.json
    """
    import json

    from archspec.lang.json_schema import json_schema

    terminal.write_text(json.dumps(json_schema(), indent=2) + "\n", output)
