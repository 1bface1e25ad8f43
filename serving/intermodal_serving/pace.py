"""How slow a client may be before its connection ends."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """What a worker asks of its clients.

    Attributes:
        keep_alive_s: a connection without a request ends after so long: longer than a load balancer
            or a connection pool keeps one, so that it closes first and loses no request.
        headers_s: a request's headers are there by then.
        body_s: a body that stands still for that long ends its connection.
        body_bytes_per_s: a body that takes longer than `body_s` must come at least so fast.
        stall_s: a client that takes no bytes for that long, although there are some, loses its
            connection.
        spare_memory_s: a connection that is idle for that long keeps no buffer.
        linger_s: a client whose request was refused has that long to read the answer.
        check_s: so often all of this is looked at.
    """

    keep_alive_s: float = 75.0
    headers_s: float = 20.0
    body_s: float = 60.0
    body_bytes_per_s: float = 500.0
    stall_s: float = 60.0
    spare_memory_s: float = 10.0
    linger_s: float = 2.0
    check_s: float = 1.0
