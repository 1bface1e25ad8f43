"""How names are made where the user gives none: the image's repository name and the time."""

import re
import time

_LIMIT = 63
_JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_IMAGE_NAME = re.compile(r"(?:.+/)?([^/:@]+)(?:[:@].+)?")


def name_from_base(base: str, now_s: float | None = None) -> str:
    """`base` with the UTC time to the millisecond; the base is cut to make 63 characters."""
    now_s = time.time() if now_s is None else now_s
    moment = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(now_s))
    stamp = f"{moment}-{int(now_s * 1000) % 1000:03d}"
    return f"{base[: _LIMIT - len(stamp) - 1]}-{stamp}"


def short_name_from_base(base: str, limit: int, now_s: float | None = None) -> str:
    """`base` with the UTC time to the second, for names of at most `limit` characters."""
    stamp = time.strftime("%y%m%d-%H%M%S", time.gmtime(now_s))
    return f"{base[: limit - len(stamp) - 1]}-{stamp}"


def base_from_name(name: str) -> str:
    """The base of a name that one of these made; any other name itself."""
    return re.sub(r"-(\d{4}-\d{2}-\d{2}-\d{2}-\d{2}-\d{2}-\d{3}|\d{6}-\d{4,6})$", "", name)


def base_name_from_image(image_uri: str) -> str:
    """The repository's last part, as a name may hold it: `…/my_train:1.0` gives `my-train`."""
    match = _IMAGE_NAME.fullmatch(image_uri)
    name = match.group(1) if match else image_uri
    return re.sub(r"[^a-zA-Z0-9-]+", "-", name).strip("-") or "image"


def name_problem(name: str) -> str | None:
    """Why AWS would refuse the name of a job, model or endpoint, or `None`."""
    if _JOB_NAME.fullmatch(name):
        return None
    return f"{name!r} is no name: 1 to 63 letters, digits and dashes, no dash first or last"
