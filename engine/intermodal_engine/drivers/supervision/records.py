"""The supervisor's own records: supervisor.json (who it is) and exit.json (how the program ended).

`json` costs 9 ms to import, half of what an instance's start costs; its C core does here.
"""

# The supervisor does without pathlib, whose import costs 5 ms.
# ruff: noqa: PTH104, PTH118, PTH123
import _json
import os

from intermodal_engine.drivers.supervision import processes

EXIT_RECORD_BYTES = 4096

Record = dict[str, str | int | float | bool | None]


class _Context:
    """What the C scanner asks a decoder for."""

    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant = float, int, None
    memo: dict[str, str] = {}  # noqa: RUF012 (the scanner's own)


def load_json(data: bytes) -> object:
    """What `json.loads` answers."""
    scan = _json.make_scanner(_Context)  # type: ignore[arg-type] # any object with these attributes
    return scan(data.decode(), 0)[0]


def dump_json(record: Record) -> str:
    """A flat object."""
    fields = (f"{_value(key)}: {_value(item)}" for key, item in record.items())
    return "{" + ", ".join(fields) + "}\n"


def _value(item: str | float | bool | None) -> str:
    if isinstance(item, str):
        return str(_json.encode_basestring_ascii(item))
    if item is None:
        return "null"
    if isinstance(item, bool):
        return "true" if item else "false"
    return repr(item)


def record_self(folder: str, boot_id: str) -> None:
    """Writes supervisor.json. No fsync: once the machine crashes, nothing runs."""
    pid = os.getpid()
    record: Record = {
        "pid": pid,
        "start_ticks": processes.start_ticks(pid),
        "boot_id": boot_id,
    }
    path = os.path.join(folder, "supervisor.json")
    with open(path + ".tmp", "w") as file:
        file.write(dump_json(record))
    os.rename(path + ".tmp", path)


class ExitRecord:
    """exit.json, whose space is taken at the start so that a full disk cannot lose the result."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path = os.path.join(folder, "exit.json")
        flags = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC
        self.fd = os.open(self.path + ".tmp", flags, 0o600)
        try:
            os.posix_fallocate(self.fd, 0, EXIT_RECORD_BYTES)
        except OSError:
            return  # A file system that cannot reserve; the write will do.

    def write(self, record: Record) -> None:
        """Writes it durably: written, synced, renamed, and the folder synced."""
        data = dump_json(record).encode()
        os.pwrite(self.fd, data, 0)
        os.ftruncate(self.fd, len(data))
        os.fsync(self.fd)
        os.rename(self.path + ".tmp", self.path)
        folder_fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder_fd)
        os.close(folder_fd)
