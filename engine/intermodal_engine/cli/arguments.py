"""What options take: texts from the command line, checked and turned into values."""

import argparse
import ipaddress
import math
import re

_REGION = r"[a-z]{2}(-[a-z]+)+-[0-9]"
# With a dot, a port or as `localhost`, or docker would take it for a folder of its usual registry.
_REGISTRY = r"(?:(https?)://)?(localhost(?::\d+)?|[a-z0-9-]+(?:(?:\.[a-z0-9-]+)+(?::\d+)?|:\d+))/?"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_home(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The option that names the engine."""
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="the engine's folder (default: $INTERMODAL_HOME, else ~/.intermodal)",
    )
    return parser


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that prints JSON."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def port(text: str) -> int:
    """A TCP port."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no TCP port (0 to 65535)")
    return port


def name(text: str) -> str:
    """A name of a job or an endpoint; bytes that are no UTF-8 are nobody's."""
    if not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a job or an endpoint")
    return text


def address(text: str) -> str:
    """An IPv4 address that other machines can reach this one at."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        address = ipaddress.IPv4Address(0)
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise argparse.ArgumentTypeError(
            f"`{text}` is no IPv4 address of one network; name the one that others reach"
        )
    return str(address)


def count(text: str) -> int:
    """A whole number above 0."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"`{text}` is no whole number above 0")
    return int(text)


def amount(text: str) -> float:
    """A number from 0 on."""
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount < math.inf:
        raise argparse.ArgumentTypeError(f"`{text}` is no number from 0 on")
    return amount


def region(text: str) -> str:
    """A region of AWS."""
    if not re.fullmatch(_REGION, text):
        raise argparse.ArgumentTypeError(f"`{text}` is no region; write for example eu-central-1")
    return text


def registry(text: str) -> str:
    """`127.0.0.1:5000` -> `http://127.0.0.1:5000`: which hosts need no TLS is docker's own rule."""
    found = re.fullmatch(_REGISTRY, text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(
            f"`{text}` is no registry; write HOST:PORT, for example 127.0.0.1:5000"
        )
    scheme, host = found.groups()
    is_loopback = host.partition(":")[0] == "localhost" or host.startswith("127.")
    return f"{scheme or ('http' if is_loopback else 'https')}://{host}"


def age_s(text: str) -> float:
    """`90s`, `15m`, `12h`, `7d` -> seconds."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and unit in _SECONDS):
        raise argparse.ArgumentTypeError(f"`{text}` is no age; write for example 90s, 12h or 7d")
    return float(number) * _SECONDS[unit]
