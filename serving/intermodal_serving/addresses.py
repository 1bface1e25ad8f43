"""Which names and URLs of models are taken, where a container serves many.

AWS page: mms-container-apis. A name is opaque and never becomes part of a path. A URL is the path
of a folder that the platform has unpacked a model into, below `/opt/ml/models`; models that an
image brings may lie below `/opt/ml/model`.
"""

import os
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from intermodal_contract.serving_http import MODELS_FOLDER
from intermodal_contract.training_files import ML_ROOT
from intermodal_serving.errors import BadRequestError
from intermodal_serving.messages import Body

NAME_LIMIT = 1024
URL_LIMIT = 4096
PAGE_LIMIT = 1000
DEFAULT_PAGE = 100
FILES_LIMIT = 100_000


def read_load_request(body: Body) -> tuple[str, str]:
    """Name and URL that the body of a `POST /models` asks for.

    Raises:
        BadRequestError: it is no such body.
    """
    hint = '{"model_name": "...", "url": "/opt/ml/models/.../model"} is what the body looks like'
    try:
        content = orjson.loads(body)
    except ValueError as error:
        raise BadRequestError(f"the body is no JSON: {error}", hint=hint) from None
    if not isinstance(content, dict):
        raise BadRequestError("the body is no JSON object", hint=hint)
    return check_name(content.get("model_name"), hint=hint), _check_url(content.get("url"), hint)


def name_in_path(part: str) -> str:
    """The name that a part of a request's path stands for.

    Args:
        part: percent-encoded, as it was sent.

    Raises:
        BadRequestError: no model can have such a name.
    """
    return name_in_bytes(unquote_to_bytes(part.encode("latin-1")))


def name_in_bytes(name: bytes) -> str:
    """The name that the bytes of a header, or of a path once decoded, stand for.

    Raises:
        BadRequestError: no model can have such a name.
    """
    try:
        return check_name(name.decode())
    except UnicodeDecodeError:
        raise BadRequestError("the model's name is not UTF-8") from None


def check_name(name: Any, *, hint: str | None = None) -> str:
    """The name, if a model may be called so.

    Raises:
        BadRequestError: it may not.
    """
    if not isinstance(name, str):
        raise BadRequestError("the model's name must be a string", hint=hint)
    if not 1 <= len(name) <= NAME_LIMIT:
        raise BadRequestError(f"the model's name must have 1 to {NAME_LIMIT} characters", hint=hint)
    if not name.isprintable():
        raise BadRequestError("the model's name holds characters that cannot be printed", hint=hint)
    return name


def find_model(url: str, base_dir: Path) -> tuple[Path, int]:
    """The folder that a URL stands for, and the size of the files in it in bytes.

    Raises:
        BadRequestError: it is no folder that a model may lie in, or something in it leads outside.
    """
    roots = [base_dir / MODELS_FOLDER, base_dir / "model"]
    hint = f"a model lies in a folder of its own below {roots[0]}"
    path = _re_rooted(PurePosixPath(url), base_dir)
    if not any(path.is_relative_to(root) and path != root for root in roots):
        raise BadRequestError(f"the URL `{url}` is outside of {roots[0]}", hint=hint)
    real_roots = [os.path.realpath(root) for root in roots]
    if not _is_below(os.path.realpath(path), real_roots):
        raise BadRequestError(f"the URL `{url}` leads out of {roots[0]}", hint=hint)
    if not path.is_dir():
        raise BadRequestError(f"the URL `{url}` names no folder", hint=hint)
    return path, _size(path, url, real_roots)


def read_page_request(query: dict[str, list[str]]) -> tuple[int, str]:
    """Limit and token that the query of a `GET /models` asks for.

    Raises:
        BadRequestError: they are none.
    """
    limit = query.get("limit", [str(DEFAULT_PAGE)])[-1]
    token = query.get("next_page_token", [""])[-1]
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= PAGE_LIMIT):
        raise BadRequestError(f"`limit` must be a whole number from 1 to {PAGE_LIMIT}")
    if token and not (len(token) == 64 and set(token) <= set("0123456789abcdef")):
        raise BadRequestError("`next_page_token` is none that a page before has given")
    return int(limit), token


def _check_url(url: Any, hint: str) -> str:
    if not isinstance(url, str) or not url:
        raise BadRequestError("the model's `url` must be a string", hint=hint)
    if len(url) > URL_LIMIT or not url.isprintable():
        raise BadRequestError("the model's `url` is no path", hint=hint)
    if not url.startswith("/") or ".." in PurePosixPath(url).parts:
        raise BadRequestError("the model's `url` must be an absolute path without `..`", hint=hint)
    return url


def _re_rooted(path: PurePosixPath, base_dir: Path) -> Path:
    """Where a path below `/opt/ml` lies, if another folder stands for that."""
    if path.is_relative_to(ML_ROOT) and not Path(path).is_relative_to(base_dir):
        return base_dir / path.relative_to(ML_ROOT)
    return Path(path)


def _is_below(real: str, real_roots: list[str]) -> bool:
    return any(real.startswith(root + os.sep) for root in real_roots)


def _size(folder: Path, url: str, real_roots: list[str]) -> int:
    size_bytes = files = 0
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(parent, name)  # noqa: PTH118 - a model may have many files
            files += 1
            if os.path.islink(path):  # noqa: PTH114 - as above
                _check_link(path, url, real_roots)
            if name in names and os.path.isfile(path):  # noqa: PTH113 - as above
                size_bytes += os.path.getsize(path)  # noqa: PTH202 - as above
        if files > FILES_LIMIT:
            raise BadRequestError(f"the URL `{url}` holds more than {FILES_LIMIT} files")
    return size_bytes


def _check_link(path: str, url: str, real_roots: list[str]) -> None:
    if not _is_below(os.path.realpath(path), real_roots):
        raise BadRequestError(
            f"the URL `{url}` holds the link `{os.path.basename(path)}`, which leads outside",  # noqa: PTH119 - as in _size
            hint="put the file itself there",
        )
