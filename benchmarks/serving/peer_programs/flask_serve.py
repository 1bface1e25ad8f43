"""The program `serve` of the vendor's sample: nginx before gunicorn, both ended by SIGTERM.

python -m benchmarks.serving.peer_programs.flask_serve NGINX NGINX_CONFIGURATION SOCKET
"""

import os
import signal
import subprocess
import sys
from typing import Any

from benchmarks.serving.peer_programs.model import WORKERS


def main() -> None:
    """Starts both and waits until one of them ends."""
    nginx_program, configuration, socket = sys.argv[1:]
    nginx = subprocess.Popen([nginx_program, "-e", "stderr", "-c", configuration])
    gunicorn = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--timeout", "60", "-k", "sync"),
            *("-b", f"unix:{socket}", "-w", str(WORKERS)),
            "benchmarks.serving.peer_programs.flask_app:app",
        ]
    )

    def stop(*_: Any) -> None:
        os.kill(nginx.pid, signal.SIGQUIT)
        os.kill(gunicorn.pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    os.waitpid(-1, 0)
    for process in (nginx, gunicorn):
        if process.poll() is None:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
