"""`GenerateInferenceId`: every record of an output gets an id of its own and the job's start time.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-batch.html
"""

import csv
import io
import json
import uuid
from typing import Any

from intermodal_engine.lifecycle.transform.program.filters import (
    CSV,
    JSON,
    JSON_LINES,
    OUTPUT,
    FilterError,
    format_of,
)

ID, TIME = "SageMakerInferenceId", "SageMakerInferenceTime"


def has_records(content_type: str | None) -> bool:
    """Whether records of outputs of this type can be told apart."""
    return format_of(content_type, "Line") is not None


def stamped(answer: bytes, content_type: str, at: str) -> bytes:
    """An answer whose records carry ids.

    Args:
        answer: rows of CSV, lines of JSON, or one JSON value.
        content_type: what it is.
        at: the time that they carry.

    Raises:
        FilterError: it is something else.
    """
    kind = format_of(content_type, "Line")
    try:
        text = answer.decode("utf-8")
        if kind == CSV:
            return _stamped_rows(text, at)
        if kind == JSON_LINES:
            return _stamped_values(text, at)
    except (ValueError, csv.Error) as error:
        raise FilterError(f"the answer is no {kind}: {error}") from error
    raise FilterError(
        f"an answer of type `{content_type}` has no records that could get inference ids; "
        f"answer {CSV}, {JSON} or {JSON_LINES}"
    )


def _stamped_rows(text: str, at: str) -> bytes:
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    made = io.StringIO(newline="")
    csv.writer(made, lineterminator="\n").writerows([*row, str(uuid.uuid4()), at] for row in rows)
    return made.getvalue().encode()


def _stamped_values(text: str, at: str) -> bytes:
    """One JSON value that may span lines, or a value a line."""
    try:
        values = [json.loads(text)]
    except ValueError:
        values = [json.loads(line) for line in text.split("\n") if line.strip()]
    lines = [json.dumps(_stamped_value(one, at), ensure_ascii=False) for one in values]
    return "\n".join(lines).encode()


def _stamped_value(value: Any, at: str) -> dict[str, Any]:
    members = value if isinstance(value, dict) else {OUTPUT: value}
    return {**members, ID: str(uuid.uuid4()), TIME: at}
