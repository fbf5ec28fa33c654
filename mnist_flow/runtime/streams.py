"""Standard output and error that never fail a command: what can't be written is dropped."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import partial

from mnist_flow.runtime.credentials import HidingStream

# Nobody reads any more: `| head -1`, or a terminal that was closed.
_NOBODY_READS = (errno.EPIPE, errno.EIO, errno.EBADF)


class LastingStream(HidingStream):
    """Wraps a text stream, hides credentials, and drops what can't be written; everything else is passed on.

    Characters that the stream's encoding lacks are written as Python's escapes. After a failure (a closed pipe, a full
    disk, a lost terminal) the stream's file descriptor is the null device, here and in processes started later.
    """

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"  # A notebook's stream has none, and takes all characters.
        self._attempt(partial(super().write, text.encode(encoding, "backslashreplace").decode(encoding)))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, call: Callable[[], object]) -> None:
        try:
            call()
        except OSError as error:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)
            if error.errno not in _NOBODY_READS and self._stream is not sys.__stderr__:
                sys.stderr.write(f"standard output can't be written ({error.strerror}); the command goes on\n")


def protect_streams() -> None:
    """Give this process standard streams that can be written to, whatever it was started with.

    A descriptor that is closed is opened on the null device; otherwise the next file that is opened, say the store,
    would get its number, and what native code prints would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout, sys.stderr = (
        LastingStream(stream or os.fdopen(number, "w", encoding="utf-8", closefd=False))
        for number, stream in ((1, sys.stdout), (2, sys.stderr))
    )
