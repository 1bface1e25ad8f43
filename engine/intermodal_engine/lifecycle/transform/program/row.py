"""Several containers of an instance in a row: each gets what the one before it has answered."""

import time
from collections.abc import Iterable
from typing import Any, Protocol

from intermodal_engine.lifecycle.transform.program.client import (
    Client,
    InstanceLostError,
    InvocationError,
    NotHealthyError,
)


class Invocable(Protocol):
    """What answers requests: a container, or a row of them. See `Client`."""

    def close(self) -> None:
        """Closes what is kept."""

    def wait_until_healthy(self, patience_s: float) -> None:
        """Pings until it is answered."""

    def execution_parameters(self) -> dict[str, Any]:
        """What it would like."""

    def invoke(self, body: bytes | Iterable[bytes], headers: dict[str, str]) -> tuple[bytes, str]:
        """Sends one request; returns the answer and its content type."""


class Row:
    """Containers, by their names, in their order.

    Args:
        clients: of each the name and a client.
    """

    def __init__(self, clients: list[tuple[str, Client]]) -> None:
        self._clients = clients

    def close(self) -> None:
        """Closes what is kept. See `Client`."""
        for _, client in self._clients:
            client.close()

    def wait_until_healthy(self, patience_s: float) -> None:
        """Pings until all answer.

        Raises:
            NotHealthyError: one did not, in time.
        """
        deadline = time.monotonic() + patience_s
        for name, client in self._clients:
            try:
                client.wait_until_healthy(max(0.0, deadline - time.monotonic()))
            except NotHealthyError:
                raise NotHealthyError(
                    f"the container {name} did not pass the ping health check within "
                    f"{patience_s:.0f} s"
                ) from None

    def execution_parameters(self) -> dict[str, Any]:
        """What the first container would like: it gets what is cut."""
        return self._clients[0][1].execution_parameters()

    def invoke(self, body: bytes | Iterable[bytes], headers: dict[str, str]) -> tuple[bytes, str]:
        """Sends one request through all; what is accepted is the last one's business.

        Raises:
            InvocationError, InstanceLostError: naming the container.
        """
        kind = headers.get("Content-Type", "")
        for number, (name, client) in enumerate(self._clients):
            own = {"Content-Type": kind} if kind else {}
            if number == len(self._clients) - 1 and "Accept" in headers:
                own["Accept"] = headers["Accept"]
            try:
                body, kind = client.invoke(body, own)
            except InvocationError as error:
                raise InvocationError(f"container {name}: {error}") from error
            except InstanceLostError as error:
                raise InstanceLostError(f"container {name}: {error}") from error
        return (body if isinstance(body, bytes) else b"".join(body)), kind
