"""Lock files: what a spec builds, written down to be reviewed, and held against the spec later."""

from archspec.locking.locks import Lock, lock

__all__ = ["Lock", "lock"]
