"""The program `serve`: start, log, and the exit code.

Exit codes: 0 after SIGTERM, 1 when the model or a setting cannot be served. The reason is then the
last thing in the log, so that whoever shows the end of a log shows the reason.
"""

import faulthandler
import io
import logging
import os
import sys

from intermodal_contract.errors import IntermodalError
from intermodal_serving.errors import ModelLoadError
from intermodal_serving.listener import listen
from intermodal_serving.settings import read_settings
from intermodal_serving.supervisor import Supervisor


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
        Supervisor(settings, listen(settings)).run()
    except ModelLoadError as error:
        sys.stdout.flush()
        sys.stderr.write(error.message)  # a worker's last words, whole
        return 1
    except IntermodalError as error:
        sys.stdout.flush()
        sys.stderr.write(f"serve: error: {error}\n")
        return 1
    return 0
