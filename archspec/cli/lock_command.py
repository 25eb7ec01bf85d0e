"""``archspec lock``: write down what a spec builds, or hold it against what was written."""

from __future__ import annotations

from pathlib import Path

import click

from archspec.cli import options, terminal
from archspec.cli.command import Command


@click.command(cls=Command)
@click.argument("spec", metavar="SPEC", type=options.SpecName())
@options.overrides
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    show_default="SPEC with the suffix .lock",
    help="Lock file to write, overwritten if it exists, or to check.",
)
@click.option(
    "--check",
    is_flag=True,
    help="Compare the spec with the lock file and exit with status 1 if they differ.",
)
@options.as_json
def lock(
    spec: str,
    given: tuple[str, ...],
    config: Path | None,
    output: Path | None,
    check: bool,
    as_json: bool,
) -> None:
    """Write or check a lock file of the model that a spec builds.

    SPEC is a YAML file, the name of a packaged spec, or hf:FOLDER for a Hugging Face model folder.
    The lock file lists the module paths, classes, tensor shapes and totals. It is small and meant
    to be reviewed and committed next to the spec: my-model.lock next to my-model.yaml. With --check
    or --json nothing is written; --check shows what has changed since the lock file was written.

    \b
    Examples:
      archspec lock my-model.yaml
      archspec lock my-model.yaml --check
      archspec lock bert -p num_labels=3 -o bert-3.lock
      archspec lock bert --json
    """
    from archspec.differences.lock_files import Lock, beside
    from archspec.differences.lock_files import lock as lock_of
    from archspec.lang.model_folder import is_model_folder

    if output is None and not as_json:
        for is_unnamed, what in ((given or config, "parameters"), (is_model_folder(spec), "hf:")):
            if is_unnamed:
                raise click.UsageError(f"with {what} the lock file needs a name: -o FILE")
    file = output or beside(spec)
    now = lock_of(options.load(spec, given, config))
    if check:
        difference = Lock.read(file).compare(now)
        if as_json:
            terminal.put_json(difference.to_dict())
        else:
            terminal.put(difference.text(terminal.width()))
        click.get_current_context().exit(1 if difference else 0)
    elif as_json:
        terminal.put_json(now.to_dict())
    else:
        terminal.write_text(now.to_yaml(), file)
        if file != Path("-"):
            totals = ", ".join(f"{count:,} {name}" for name, count in now.totals.items())
            terminal.put(f"{click.format_filename(file)}: {totals}")
