"""What the recorded requests of the vendor's SDK cover, case by case, as a page for people.

    python -m tests.helpers.parity_report      writes docs/reference/parity.md

Each case is replayed by a test, which fails where something that is not listed differs; so what the
page calls equal is.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/parity.md"
CASES = ROOT / "tests/unit/sdk/parity"
CHANGING = ("Create", "Put", "Update", "Invoke", "Delete", "Copy")
"""How the operations begin that are compared."""
NEVER_SENT = ("DebugHookConfig", "ProfilerConfig")
"""Parameters of the vendor's that ours leaves out; vendor-differences.md says why."""
OF_TRANSPORT = ("ChecksumAlgorithm", "ChecksumType", "TaggingDirective")
"""How bytes are guarded on the way; boto3 says it in the vendor's calls, and does it in ours."""

_HEAD = """\
# Requests beside the vendor's SDK v2, case by case

Each case is a small program, recorded with the vendor's SDK ({sdk}) and replayed with ours
by a test. *Equal*: whatever changes something or invokes is called with the same parameters (names,
times and checksums normalised), and uploaded archives hold the same files. What differs on purpose
is listed in [the differences](vendor-differences.md).

{count} cases. Not compared yet: the rest of v2's surface, above all what is named there under
"Not here".

| case | calls that are compared | result |
|---|---|---|
"""


def page() -> str:
    """The page's text."""
    files = sorted([*CASES.glob("*.json"), *CASES.glob("models/*.json")])
    cases = [(path, json.loads(path.read_text())) for path in files]
    versions = {str(case.get("sdk", "")) for _, case in cases if case.get("sdk")}
    head = _HEAD.format(sdk=", ".join(sorted(versions)), count=len(cases))
    return head + "".join(_row(path, case) for path, case in cases)


def _row(path: Path, case: dict[str, Any]) -> str:
    calls = [call for call in case["calls"] if call["operation"].startswith(CHANGING)]
    counts = Counter(call["operation"] for call in calls)
    told = ", ".join(name if n == 1 else f"{n} {name}" for name, n in sorted(counts.items()))
    left_out = sorted({name for call in calls for name in NEVER_SENT if name in call["params"]})
    without = " and ".join(f"`{one}`" for one in left_out)
    result = f"equal, but for {without}" if left_out else "equal"
    return f"| {path.stem} | {told or 'none'} | {result} |\n"


if __name__ == "__main__":
    PAGE.write_text(page())
