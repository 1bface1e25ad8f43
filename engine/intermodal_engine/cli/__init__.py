"""The command `intermodal`. Exit codes: 0, 1 user error, 2 usage, 3 unavailable.

Each command is a module that is imported when it is asked for, so that `intermodal env` costs a
shell no more than starting Python.
"""

from intermodal_engine.cli.main import main

__all__ = ["main"]
