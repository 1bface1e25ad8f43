"""What a handler may learn about its request, and say about its response.

The method names are those of the vendor's `context` argument (the Java model server's
`mms.context.Context`), so that handlers written for it run unchanged; every index argument is
ignored, since a context stands for one request.
"""

import functools
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intermodal_contract.serving_http import (
    CLOSED_SESSION_ID_HEADER,
    NEW_SESSION,
    NEW_SESSION_ID_HEADER,
    SESSION_ID_HEADER,
)
from intermodal_serving.errors import BadRequestError
from intermodal_serving.sessions import Sessions, expiry_text, is_session_id

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\r\n]*")
_REQUEST_ID = re.compile(rb"[0-9A-Za-z_.-]{1,128}")
# These belong to the connection, not to the handler.
_RESERVED = frozenset({"connection", "content-length", "transfer-encoding", "date"})


@dataclass(frozen=True, slots=True)
class Container:
    """What handlers may use of the container that they run in.

    Attributes:
        sessions: the open ones, of all workers.
        in_turn: runs a function on the model's thread, after what waits already.
    """

    sessions: Sessions
    in_turn: Callable[[Callable[[], Any]], Awaitable[Any]]


class Context:
    """One request as its handlers see it.

    Args:
        system_properties: `model_dir`, `gpu_id` and what else describes the container.
        raw_headers: the request's header lines, names in lower case; empty while the model loads.
        container: None while the model loads.
    """

    __slots__ = (
        "_container",
        "_headers",
        "_raw_headers",
        "_request_id",
        "_response_headers",
        "_status",
        "system_properties",
    )

    def __init__(
        self,
        system_properties: dict[str, Any],
        raw_headers: Iterable[tuple[bytes, bytes]] = (),
        container: Container | None = None,
    ) -> None:
        self.system_properties = system_properties
        self._raw_headers = raw_headers
        self._container = container
        self._headers: dict[str, str] | None = None
        self._request_id: str | None = None
        self._response_headers: dict[str, str] = {}
        self._status = 200

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names in lower case."""
        if self._headers is None:
            self._headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in self._raw_headers
            }
        return self._headers

    @property
    def request_id(self) -> str:
        """The id that the log and an error answer carry: the client's, else a new one."""
        if self._request_id is None:
            self._request_id = self._find_request_id() or uuid.uuid4().hex
        return self._request_id

    @property
    def custom_attributes(self) -> str | None:
        """`X-Amzn-SageMaker-Custom-Attributes` of the request."""
        return self.headers.get("x-amzn-sagemaker-custom-attributes")

    @property
    def inference_id(self) -> str | None:
        """`X-Amzn-SageMaker-Inference-Id` of the request."""
        return self.headers.get("x-amzn-sagemaker-inference-id")

    @property
    def wants_session(self) -> bool:
        """Whether the client asks for a new session."""
        return self.headers.get(SESSION_ID_HEADER.lower()) == NEW_SESSION

    @property
    def session_id(self) -> str | None:
        """The session that the request belongs to, also one that was opened for it; else None.

        Raises:
            BadRequestError: the client sent what cannot be one.
        """
        opened = self._response_headers.get(NEW_SESSION_ID_HEADER.lower())
        if opened is not None:
            return opened.partition(";")[0]
        if self.wants_session:
            return None
        sent = self.headers.get(SESSION_ID_HEADER.lower())
        if sent is not None and not is_session_id(sent):
            raise BadRequestError(f"`{sent[:80]}` in `{SESSION_ID_HEADER}` is no session id")
        return sent

    @property
    def session_dir(self) -> Path:
        """The folder of the request's session, which all workers see; removed with the session.

        Raises:
            BadRequestError: the request belongs to no session that is open.
        """
        if (session_id := self.session_id) is None:
            raise BadRequestError(
                "the request belongs to no session",
                hint=f"send `{SESSION_ID_HEADER}: {NEW_SESSION}` first",
            )
        return self._here().sessions.find(session_id)

    def new_session(self, session_id: str | None = None, expires_at: datetime | None = None) -> str:
        """Open a session for the client, and tell it so in the answer. Gives the session's id.

        Args:
            session_id: letters, digits and inner dashes; None makes one up.
            expires_at: None: after `SAGEMAKER_SESSIONS_EXPIRATION` seconds. Without a time zone it
                is in UTC.

        Raises:
            ValueError: the id cannot be one, or is taken.
        """
        expires_at_s = None
        if expires_at is not None:
            zoned = expires_at if expires_at.tzinfo else expires_at.replace(tzinfo=UTC)
            expires_at_s = zoned.timestamp()
        opened, ends_at_s = self._here().sessions.open(session_id, expires_at_s)
        self.set_header(NEW_SESSION_ID_HEADER, f"{opened}; Expires={expiry_text(ends_at_s)}")
        return opened

    def close_session(self) -> None:
        """Close the request's session, remove its folder, and tell the client so in the answer.

        Raises:
            BadRequestError: the request belongs to no session.
        """
        session_id = self.session_id
        if session_id is None:
            raise BadRequestError("the request belongs to no session that could be closed")
        self._here().sessions.close(session_id)
        self.set_header(CLOSED_SESSION_ID_HEADER, session_id)

    async def call_model(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """For `async` handlers: the result of a function that runs on the model's thread.

        It runs after what waits for the model already; the event loop goes on meanwhile.
        """
        return await self._here().in_turn(functools.partial(function, *arguments))

    @property
    def status(self) -> int:
        """The HTTP status that a successful answer will have."""
        return self._status

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers that the answer will have, names in lower case."""
        return self._response_headers

    @property
    def request_processor(self) -> "list[Context]":
        """The vendor's way to the headers: `context.request_processor[0]`."""
        return [self]

    def get_request_id(self, idx: int = 0) -> str:  # noqa: ARG002 - the vendor's signature
        """The request's id."""
        return self.request_id

    def get_request_header(self, idx: int, key: str) -> str | None:  # noqa: ARG002 - as above
        """One header of the request, its name in any case."""
        return self.headers.get(key.lower())

    def get_all_request_header(self, idx: int = 0) -> dict[str, str]:  # noqa: ARG002 - as above
        """All headers of the request, names in lower case."""
        return dict(self.headers)

    def get_request_properties(self) -> dict[str, str]:
        """All headers of the request, names in lower case."""
        return dict(self.headers)

    def get_request_property(self, key: str) -> str | None:
        """One header of the request, its name in any case."""
        return self.headers.get(key.lower())

    def set_response_header(self, idx: int, key: str, value: str) -> None:  # noqa: ARG002 - as above
        """Set one header of the answer.

        Raises:
            ValueError: the name or the value cannot stand in an HTTP header.
        """
        self.set_header(key, value)

    def set_response_content_type(self, idx: int, value: str) -> None:  # noqa: ARG002 - as above
        """Set the answer's content type."""
        self.set_header("content-type", value)

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:  # noqa: ARG002 - as above
        """Set the answer's HTTP status, 200 to 599."""
        if not 200 <= code <= 599:
            raise ValueError(f"the response status is {code!r}; it must be 200 to 599")
        self._status = int(code)

    def set_header(self, name: str, value: str) -> None:
        """Set one header of the answer.

        Raises:
            ValueError: the name or the value cannot stand in an HTTP header.
        """
        key = name.lower()
        if not _TOKEN.fullmatch(key) or key in _RESERVED:
            raise ValueError(f"{name!r} is no response header that a handler may set")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ValueError(f"the value of the response header `{name}` is not one line of text")
        value.encode("latin-1")
        self._response_headers[key] = value

    def _here(self) -> Container:
        if self._container is None:
            raise RuntimeError("there is no request yet: the model still loads")
        return self._container

    def _find_request_id(self) -> str | None:
        for name, value in self._raw_headers:
            if name in {b"x-amzn-requestid", b"x-request-id"} and _REQUEST_ID.fullmatch(value):
                return value.decode("ascii")
        return None
