"""One `upload_data`, timed, with either SDK: run by the interpreter that has it.

python upload_program.py CLASS PATH PREFIX     prints seconds
"""

import sys
import tempfile
import time
from importlib import import_module
from typing import Any

BUCKET = "bench-uploads"


def main() -> None:
    """Opens the connection with another file first; what a session needs once is not timed."""
    module, _, name = sys.argv[1].partition(":")
    session: Any = getattr(import_module(module), name)()
    with tempfile.NamedTemporaryFile() as other:
        session.upload_data(other.name, bucket=BUCKET, key_prefix="warm")
    begun_s = time.perf_counter()
    session.upload_data(sys.argv[2], bucket=BUCKET, key_prefix=sys.argv[3])
    print(time.perf_counter() - begun_s)


if __name__ == "__main__":
    main()
