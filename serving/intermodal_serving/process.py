"""A worker's place among the processes of a container."""

import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is given besides the settings.

    Attributes:
        row: its row on the board.
        control: to the supervisor.
        layer: folder for the packages that the model's requirements add; shared by the workers of
            one generation, there once one of them has made it.
        models: folder of the registry of models; shared by all workers of the container.
    """

    row: int
    control: socket.socket
    layer: Path
    models: Path
