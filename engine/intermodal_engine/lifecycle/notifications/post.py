"""One try to hand a notification to a subscriber."""

import http.client
from urllib.parse import urlsplit

from intermodal_engine.store.deliveries import Delivery

TIMEOUT_S = 15.0
"""How long a subscriber may take, as SNS has it."""


class NotDeliveredError(Exception):
    """The subscriber did not take it; the message says why.

    Args:
        why: the cause.
        is_final: another try would be in vain.
    """

    def __init__(self, why: str, *, is_final: bool = False) -> None:
        super().__init__(why)
        self.is_final = is_final


def post(delivery: Delivery) -> None:
    """Sends it and waits for the answer's status.

    Raises:
        NotDeliveredError: the status is not one of success, or there is none.
    """
    parts = urlsplit(delivery.url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = kinds[parts.scheme](parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", path, delivery.body.encode(), dict(delivery.headers))
        status = connection.getresponse().status
    except TimeoutError as error:
        raise NotDeliveredError(f"no answer within {TIMEOUT_S:g} s") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDeliveredError(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise NotDeliveredError(f"it answered {status}", is_final=_is_final(status))


def _is_final(status: int) -> bool:
    """Whether SNS tries no more after this."""
    return 400 <= status < 500 and status != 429
