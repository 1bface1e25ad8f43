"""The three ways in which AWS writes a moment: ISO 8601, RFC 822 and seconds since the epoch."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

ISO8601 = "iso8601"
RFC822 = "rfc822"
EPOCH = "unixTimestamp"

_FRACTION = re.compile(r"\.(\d{1,6})\d*")


def parse_iso8601(text: str) -> datetime:
    """A moment such as `2026-01-31T12:00:00.250Z`; without an offset it is UTC.

    Raises:
        ValueError: it is not one.
    """
    moment = datetime.fromisoformat(_FRACTION.sub(_microseconds, text.strip()))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_rfc822(text: str) -> datetime:
    """A moment such as `Sat, 31 Jan 2026 12:00:00 GMT`.

    Raises:
        ValueError: it is not one.
    """
    moment = parsedate_to_datetime(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_epoch(seconds: float | str) -> datetime:
    """A moment as seconds since 1970.

    Raises:
        ValueError: it is no number, or beyond the calendar.
    """
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(str(error)) from error


def parse(text: str, form: str) -> datetime:
    """A moment in the form that the model asks for, else in any of the three.

    Clients are not strict here and neither is AWS.

    Raises:
        ValueError: it is in none of them.
    """
    parsers = {ISO8601: parse_iso8601, RFC822: parse_rfc822, EPOCH.lower(): parse_epoch}
    first = parsers.pop(form.lower())
    try:
        return first(text)
    except ValueError:
        for parser in parsers.values():
            try:
                return parser(text)
            except ValueError:
                continue
    raise ValueError(f"`{text}` is not a timestamp")


def to_moment(value: datetime | float) -> datetime:
    """What an operation gave as a moment: a datetime (naive means UTC) or epoch seconds."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return datetime.fromtimestamp(value, UTC)


def to_epoch(value: datetime | float) -> float | int:
    """Seconds since 1970, to the millisecond; whole seconds stay whole numbers."""
    seconds = round(to_moment(value).timestamp(), 3)
    return int(seconds) if seconds.is_integer() else seconds


def to_iso8601(value: datetime | float) -> str:
    """As S3 and the query services write it: UTC, to the millisecond."""
    moment = to_moment(value)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def to_rfc822(value: datetime | float) -> str:
    """As HTTP headers carry it: whole seconds, GMT."""
    return format_datetime(to_moment(value).replace(microsecond=0), usegmt=True)


def write(value: datetime | float, form: str) -> str:
    """A moment in the form that the model asks for."""
    if form == RFC822:
        return to_rfc822(value)
    if form.lower() == EPOCH.lower():
        return str(to_epoch(value))
    return to_iso8601(value)


def _microseconds(fraction: re.Match[str]) -> str:
    return "." + fraction[1].ljust(6, "0")
