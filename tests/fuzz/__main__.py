"""Sends bad input to a real `serve` and says what came of it.

Exit code 1 where a 5xx came from us, a request hung, a valid one was not answered, a worker died,
memory or descriptors were lost, or the server did not answer right afterwards.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.report import MODEL, attack_server, lines_of
from tests.fuzz.schema import run_schemathesis
from tests.helpers.serving_process import serving, write_code


def main() -> int:
    """Runs both fuzzers. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=150_000, help="how many (150000)")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--clients", type=int, default=16, help="how many at once (16)")
    parser.add_argument(
        "--examples", type=int, default=1000, help="of schemathesis, for each operation (1000)"
    )
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    with tempfile.TemporaryDirectory() as folder:
        base = write_code(Path(folder), MODEL)
        with serving(base, SAGEMAKER_MODEL_SERVER_WORKERS="2") as server:
            report = attack_server(server, seed, arguments.inputs, arguments.clients)
            print("\n".join(lines_of(report)), flush=True)
            by_schema = run_schemathesis(server.port, seed, arguments.examples)
            print(by_schema.stdout)
            code = server.terminate()
    print(f"exit code after SIGTERM: {code}")
    return int(bool(report.faults) or by_schema.returncode != 0 or code != 0)


if __name__ == "__main__":
    sys.exit(main())
