"""Consideration for whoever else uses the machine: low I/O priority, and pauses while it is busy.

Never a lower CPU priority: this thread holds locks that a chat turn may wait for (the interpreter's, now and
then the host's database's), and one that gets no processor would hold them for long. For the same reason the
I/O class is the lowest of *best effort* and not *idle*.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
"""Number of the system call, which the C library does not offer as a function."""
_WHO_PROCESS = 1
_BEST_EFFORT = 2
_LOWEST = 7
_CLASS_SHIFT = 13
_PAUSE_SECONDS = 0.02
_BUSY_LOAD = 1.5
"""Load per processor from which the machine counts as busy. Our own thread counts too."""


def lower_io_priority() -> bool:
    """Let reads and writes of this thread, and of threads that it starts, come after those of others.

    Returns whether the system offers that. Linux only.
    """
    number = _IOPRIO_SET.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return False
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(number, _WHO_PROCESS, 0, _BEST_EFFORT << _CLASS_SHIFT | _LOWEST) == 0)


def is_busy() -> bool:
    """Whether others are waiting for a processor."""
    try:
        return os.getloadavg()[0] > _BUSY_LOAD * (os.cpu_count() or 1)
    except OSError:  # the system does not tell
        return False


class Yielding:
    """Pauses a little after every few parts of the work while the machine is busy."""

    def __init__(self, wait: Callable[[float], object], *, every: int = 16) -> None:
        """``wait`` sleeps for so many seconds, or less when the work has to end."""
        self._wait, self._every, self._count = wait, every, 0

    def yield_if_busy(self) -> None:
        """Call it after each part."""
        self._count += 1
        if self._count % self._every == 0 and is_busy():
            self._wait(_PAUSE_SECONDS)
