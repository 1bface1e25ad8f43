"""Sends hostile input to the engine, in this process, and says what came of it.

Exit code 1 where the engine failed, hung, grew, or changed a file outside its home.
"""

import argparse
import random
import sys

from tests.fuzz.engine.report import attack_everything, lines_of


def main() -> int:
    """Runs the attack. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.engine", description=__doc__)
    parser.add_argument("--inputs", type=int, default=300_000, help="how many (300000)")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    report = attack_everything(seed, arguments.inputs)
    print("\n".join(lines_of(report)))
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
