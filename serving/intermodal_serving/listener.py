"""The socket that a container serves on, which all its workers share."""

import contextlib
import ctypes
import socket
import struct
import sys

from intermodal_contract import env
from intermodal_serving.errors import SettingError
from intermodal_serving.settings import Settings

BACKLOG = 2048
_SO_ATTACH_FILTER = 26
_BPF_RETURN = 0x06


def listen(settings: Settings) -> socket.socket:
    """The socket that the container serves on, not accepting yet.

    Raises:
        SettingError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    except OSError as error:
        raise SettingError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}",
            hint=f"`{env.BIND_TO_HOST}` and `{env.BIND_TO_PORT}` choose another address",
        ) from error
    listener.setblocking(False)
    return listener


def drop_new_connections(listener: socket.socket) -> None:
    """Let the kernel ignore whoever now asks to connect.

    Closing a listening socket resets every connection that it holds ready, also those that became
    ready a microsecond ago. A filter that drops all packets to the listener (man 7 socket,
    SO_ATTACH_FILTER) ends that race: a client asks again a second later, and is refused then.
    """
    if sys.platform != "linux":
        return
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    with contextlib.suppress(OSError):  # not every sandbox has filters; the race is then short
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
