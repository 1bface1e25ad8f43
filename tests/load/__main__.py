"""Has many clients use a real engine at once, and says how they and the engine fared.

Exit code 1 where a call failed, was wrong or took too long, or where the engine kept what it should
have let go of.
"""

import argparse
import random
import sys

from tests.helpers.engine import running_engine
from tests.load.course import load
from tests.load.report import Plan, lines_of
from tests.load.stage import Stage


def main() -> int:
    """Runs the load. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="with slow clients (600)")
    parser.add_argument("--alone", type=float, default=60, help="seconds without them (60)")
    parser.add_argument("--warm-up", type=float, default=15, help="seconds before that (15)")
    parser.add_argument("--clients", type=int, default=200, help="ordinary ones (200)")
    parser.add_argument("--slow", type=int, default=50, help="slow; as many half-open ones (50)")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat its choices")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    plan = Plan(seed, given.clients, given.slow, given.seconds, given.alone, given.warm_up)
    with running_engine() as engine:
        report = load(Stage(engine, seed), plan)
    print("\n".join(lines_of(report)))
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
