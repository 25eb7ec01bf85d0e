"""``archspec search``: the rows of a file that are nearest to a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import archspec
from archspec.cli import options, terminal
from archspec.cli.command import Command, option
from archspec.cli.predict_command import run_or_spec


@click.command(cls=Command)
@click.argument("source", metavar="RUN_OR_SPEC", type=options.SpecName())
@click.argument("query", metavar="QUERY")
@option(
    "--in",
    "file",
    metavar="FILE",
    required=True,
    group="Data",
    help="File whose rows are searched: CSV, TSV, JSON Lines, JSON, Parquet or Arrow.",
)
@option(
    "--column",
    metavar="NAME",
    show_default="detected",
    group="Data",
    help="Column of the file that holds the texts.",
)
@options.header
@options.encoding
@options.overrides
@options.run_weights
@options.layout
@options.key
@options.tokenizer
@options.max_length
@option("--top", metavar="INT", default=10, group="Output", help="Number of rows to show.")
@options.device("mps")
@option("--batch-size", metavar="INT", default=32, group="Hardware", help="Maximum batch size.")
@options.as_json
def search(
    source: str,
    query: str,
    file: str,
    column: str | None,
    header: bool | None,
    encoding: str | None,
    given: tuple[str, ...],
    config: Path | None,
    top: int,
    as_json: bool,
    **asked: Any,
) -> None:
    """Search the rows of a file for the texts most similar to a query.

    RUN_OR_SPEC is the folder of a text-embedding run, or a text-embedding spec with --weights.
    Texts are ranked by the cosine similarity of their embeddings.

    \b
    Examples:
      archspec search runs/terms 'a small boat' --in definitions.csv
      archspec search minilm-l6 --weights minilm/ 'a small boat' --in terms.csv --column definition
    """
    predictor = archspec.Predictor(run_or_spec(source, given, config), **asked)
    result = predictor.search(
        query, file, top=top, text=column, header=header, encoding=encoding, progress=not as_json
    )
    if as_json:
        terminal.put_json(result.to_dict())
    else:
        terminal.put(result.text(terminal.width()))
