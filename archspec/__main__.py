"""``python -m archspec`` is the program ``archspec``."""

from archspec.cli import main

main(prog_name="archspec")
