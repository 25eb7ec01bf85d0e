"""The reference of each packaged spec, from every module of this folder by its ``REFERENCES``."""

from __future__ import annotations

import importlib
import pkgutil

from tests.zoo.reference import Reference

REFERENCES: dict[str, Reference] = {}

for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    for _name, _reference in importlib.import_module(f"{__name__}.{_module}").REFERENCES.items():
        assert _name not in REFERENCES, f"{_name} has two references"
        REFERENCES[_name] = _reference
