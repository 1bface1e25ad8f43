"""How many workers a container holds, which GPU is whose, and what memory there is."""

import contextlib
import ctypes
import errno
import gc
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from intermodal_serving.settings import Settings

OVERHEAD_BYTES = 300 * 2**20
"""What a worker with a framework needs besides its model."""

MODEL_FACTOR = 2
"""A model in memory, while it loads, takes up to so many times its files."""

MEMORY_SHARE = 0.8


def worker_count(settings: Settings) -> int:
    """What was asked for, else one a GPU, else one a core, as many as memory takes."""
    if settings.workers is not None:
        return settings.workers
    if gpus := gpus_of(os.environ):
        return len(gpus)
    if settings.multi_model:
        each = OVERHEAD_BYTES
    else:
        each = OVERHEAD_BYTES + MODEL_FACTOR * folder_bytes(settings.model_dir)
    room = int(MEMORY_SHARE * available_bytes() // each)
    return max(1, min(settings.cpus, room))


def gpus_of(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that this container may use, as `CUDA_VISIBLE_DEVICES` names them."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in {"", "-1"}]
    if not Path("/proc/driver/nvidia/gpus").is_dir():
        return []
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.split()


def folder_bytes(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def available_bytes() -> int:
    """Memory that may still be taken: what the system has, cut by the control group's limit."""
    system = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                system = int(line.split()[1]) * 1024
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):  # files that were read and can be forgotten
                used -= int(line.split()[1])
    except (OSError, ValueError):
        return system
    return max(0, min(system, limit - used))


def is_shortage(error: BaseException | None) -> bool:
    """Whether an error says that memory, or files that may be open, are used up.

    Frameworks raise types of their own, or only say it in words; and what was raised because of
    a shortage counts as one.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if isinstance(error, OSError) and error.errno in _SHORTAGES:
            return True
        if isinstance(error, RuntimeError) and any(w in str(error).lower() for w in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


_SHORTAGES = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE})
_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def free_memory() -> None:
    """Give what is no longer referred to back to the system and to the GPU."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
