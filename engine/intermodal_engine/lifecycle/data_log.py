"""What the engine itself says in an endpoint's log, in a stream of each variant's own."""

import os

from intermodal_engine.drivers.supervision.log import Log
from intermodal_engine.lifecycle.fleet_kind import ENDPOINT
from intermodal_engine.store.log_streams import LogStreams


class DataLog:
    """The streams `VARIANT/data-log` of all endpoints.

    Args:
        log_streams: names the files.
    """

    def __init__(self, log_streams: LogStreams) -> None:
        self._log_streams = log_streams

    def say(self, endpoint: str, variant: str, message: str) -> None:
        """Adds a line."""
        path = self._log_streams.path(
            f"{ENDPOINT.log_group_prefix}{endpoint}", f"{variant}/data-log"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        log = Log(str(path))
        log.write(message.encode())
        os.close(log.fd)
