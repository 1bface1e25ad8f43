"""`DataProcessing` of CreateTransformJob: what of a record the model gets, and what is kept.

https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from intermodal_engine.lifecycle.transform.program.jsonpath import NoMatchError, Path, parse

CSV, JSON_LINES, JSON = "text/csv", "application/jsonlines", "application/json"
OUTPUT, INPUT = "SageMakerOutput", "SageMakerInput"


class FilterError(Exception):
    """A record or an answer cannot be filtered or joined as asked; the message says why."""


def format_of(content_type: str | None, split_type: str) -> str | None:
    """The format in which records are looked into; None for one that cannot be.

    Args:
        content_type: of the input, with or without parameters.
        split_type: `Line` makes each line of JSON a record.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == CSV:
        return CSV
    if kind in {JSON_LINES, "application/x-jsonlines"} and split_type == "Line":
        return JSON_LINES
    if kind == JSON:
        return {"Line": JSON_LINES, "None": JSON}.get(split_type)
    return None


@dataclass(frozen=True, slots=True)
class Processing:
    """What is done to records and answers.

    Attributes:
        format: `text/csv`, `application/jsonlines` or `application/json`.
        input_filter: what of a record the model gets.
        output_filter: what of a joined record is kept.
        is_joined: whether each result is joined with its record.
    """

    format: str
    input_filter: Path
    output_filter: Path
    is_joined: bool

    def request(self, data: bytes) -> bytes:
        """The body that the model gets.

        Raises:
            FilterError: it is not in the format, or the filter finds nothing.
        """
        if self.input_filter.is_whole:
            return data
        return self._dump([self._filter(self.input_filter, one) for one in self._load(data)])

    def answer(self, data: bytes, answer: bytes) -> bytes:
        """What is kept of an answer.

        Args:
            data: the record or records, unfiltered.
            answer: what the model made of them.

        Raises:
            FilterError: the two cannot be joined, or the filter finds nothing.
        """
        if not self.is_joined and self.output_filter.is_whole:
            return answer
        results = self._load(answer, "the answer")
        if self.is_joined:
            records = self._load(data)
            if len(records) != len(results):
                raise FilterError(
                    f"the model answered {len(results)} records for {len(records)}: they cannot be "
                    "joined"
                )
            results = [self._join(*pair) for pair in zip(records, results, strict=True)]
        return self._dump([self._filter(self.output_filter, one) for one in results])

    def _load(self, data: bytes, what: str = "the input") -> list[Any]:
        try:
            text = data.decode("utf-8")
            if self.format == CSV:
                return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
            if self.format == JSON_LINES:
                return [json.loads(line) for line in text.split("\n") if line.strip()]
            return [json.loads(text)]
        except (ValueError, csv.Error) as error:
            raise FilterError(f"{what} is no {self.format}: {error}") from error

    def _dump(self, values: list[Any]) -> bytes:
        if self.format == CSV:
            text = io.StringIO(newline="")
            rows = [value if isinstance(value, list) else [value] for value in values]
            csv.writer(text, lineterminator="\n").writerows(rows)
            return text.getvalue().encode()
        return "\n".join(json.dumps(value, ensure_ascii=False) for value in values).encode()

    def _join(self, record: Any, result: Any) -> Any:
        if self.format == CSV:
            return record + result
        if isinstance(record, dict):
            return {**record, OUTPUT: result}
        return {INPUT: record, OUTPUT: result}

    def _filter(self, path: Path, value: Any) -> Any:
        try:
            return path.apply(value)
        except NoMatchError as error:
            raise FilterError(f"the filter `{path.text}` does not match: {error}") from error


def make_processing(
    content_type: str | None,
    split_type: str,
    *,
    input_filter: str | None,
    output_filter: str | None,
    join_source: str | None,
) -> Processing | None:
    """What the members of `DataProcessing` ask for; None where they ask for nothing.

    Raises:
        InvalidPathError: a filter is not understood.
        FilterError: records of this kind cannot be looked into.
    """
    first, second = parse(input_filter or "$"), parse(output_filter or "$")
    is_joined = join_source == "Input"
    if first.is_whole and second.is_whole and not is_joined:
        return None
    kind = format_of(content_type, split_type)
    if kind is None:
        raise FilterError(
            "DataProcessing is for ContentType text/csv, application/json and "
            "application/jsonlines, with SplitType Line, or None for one JSON value an object"
        )
    return Processing(kind, first, second, is_joined)
