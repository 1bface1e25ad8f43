"""Runs a script that must end at once when it fails: `python -m …guard ENTRY …`.

MXNet waits at the end of a worker until all other workers are at their ends too. A worker that
failed would wait for ever, and nobody would hear why. So a failing script is ended without its
goodbyes, after its traceback; one that succeeds ends as usual.
"""

import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """Runs the script, or with `-m` the module."""
    arguments = sys.argv[1:]
    is_module = arguments[0] == "-m"
    sys.argv = arguments[is_module:]
    name = sys.argv[0]
    try:
        if is_module:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            sys.path[0] = str(Path(name).resolve().parent)
            runpy.run_path(name, run_name="__main__")
    except SystemExit as error:
        if error.code is None or error.code == 0:
            raise
        _end(_said(error.code))
    except BaseException:  # noqa: BLE001 - whatever it is, it ends the script
        traceback.print_exc()
        _end(1)


def _said(code: object) -> int:
    """What `sys.exit` does with its argument."""
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
