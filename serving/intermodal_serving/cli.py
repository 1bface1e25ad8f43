"""The program `serve`: start, log, and the exit code.

Exit codes: 0 after SIGTERM, 1 when the model or a setting cannot be served. The reason is then the
last thing in the log, so that whoever shows the end of a log shows the reason.
"""

import faulthandler
import io
import logging
import os
import sys

import uvloop

from intermodal_contract.errors import IntermodalError
from intermodal_serving.server import Server, listen
from intermodal_serving.settings import read_settings
from intermodal_serving.tracebacks import user_traceback


def main() -> int:
    """Serve the model of this container until SIGTERM."""
    faulthandler.enable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        settings = read_settings(os.environ)
        logging.basicConfig(
            stream=sys.stderr,
            level=settings.log_level,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        server = Server(settings, listen(settings))
        uvloop.run(server.run())
    except IntermodalError as error:
        _report(error)
        code = 1
    else:
        code = 0
        if server.pipeline.is_running:
            _end_now(code)
    return code


def _report(error: IntermodalError) -> None:
    sys.stdout.flush()
    if error.__cause__ is not None:
        sys.stderr.write(user_traceback(error.__cause__) + "\n")
    sys.stderr.write(f"serve: error: {error}\n")
    sys.stderr.flush()


def _end_now(code: int) -> None:
    """End although a thread is still inside the user's code, which nothing can interrupt."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
