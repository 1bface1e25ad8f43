"""The images that the daemon has, looked up once a moment, and pulled once each."""

import threading
import time
from collections import defaultdict

from intermodal_contract.image import parse_image_uri
from intermodal_engine.drivers.base import InstanceSpec, StartFailedError
from intermodal_engine.drivers.containers.images import Choice, choose, pulled, why_not_pulled
from intermodal_engine.drivers.containers.machine import DaemonError, LocalImage
from intermodal_engine.drivers.containers.progress import PullFailedError, report
from intermodal_engine.drivers.docker import Daemon
from intermodal_engine.drivers.notes import tell

_FRESH_S = 1.0
"""A job is planned several times on its way; a look at the daemon takes some milliseconds."""


class ImageStore:
    """Finds and pulls images.

    Args:
        daemon: has them.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._looks: dict[str, tuple[float, LocalImage | None]] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def choose(self, asked: str) -> Choice:
        """The image for a name.

        Raises:
            PlanRefusedError: there is none, or not for this machine.
            DaemonError: the daemon does not answer.
        """
        return choose(asked, self._find, self._daemon.machine)

    def get(self, spec: InstanceSpec) -> str:
        """The name of the image that a spec runs on, pulled where it is not here.

        Raises:
            PlanRefusedError: there is none, or not for this machine.
            StartFailedError: it cannot be pulled.
        """
        choice = self.choose(spec.image)
        if choice.image is None:
            with self._lock:
                lock = self._locks[choice.name]
            with lock:  # who comes second finds it
                self._forget()
                choice = self.choose(spec.image)
                if choice.image is None:
                    self._pull(choice.name, spec)
                    choice = self.choose(spec.image)
        return choice.name

    def _pull(self, name: str, spec: InstanceSpec) -> None:
        events = self._daemon.pull(*pulled(parse_image_uri(name)))
        try:
            report(name, events, lambda line: tell(spec, line))
        except (PullFailedError, DaemonError) as error:
            raise StartFailedError(why_not_pulled(name, str(error))) from error
        finally:
            self._forget()

    def _find(self, name: str) -> LocalImage | None:
        with self._lock:
            looked_at, image = self._looks.get(name, (-_FRESH_S, None))
        if time.monotonic() - looked_at < _FRESH_S:
            return image
        image = self._daemon.find_image(name)
        with self._lock:
            self._looks[name] = time.monotonic(), image
        return image

    def _forget(self) -> None:
        with self._lock:
            self._looks.clear()
