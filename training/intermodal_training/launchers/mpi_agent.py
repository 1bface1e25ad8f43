"""What `mpirun` calls in the place of ssh: `agent PORT HOST WORDS…`.

It asks `train` on the first host to have the command run on the other host, and ends as it ends.
"""

import os
import sys

from intermodal_training.launchers.mpi_control import start_on


def main() -> int:
    """Ends with the command's exit code."""
    port, host, *words = sys.argv[1:]
    return start_on(int(port), host, words, os.environ)


if __name__ == "__main__":
    sys.exit(main())
