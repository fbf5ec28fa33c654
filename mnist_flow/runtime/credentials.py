"""Keep credentials out of everything that is printed or logged."""

import logging
import re
from collections.abc import Iterable
from typing import TextIO

_CREDENTIALS = re.compile(r"(?<=://)[^/\s\"]+@")
_SECRETS = re.compile(r"([?&][^=&\s\"]*(?:password|token|secret)[^=&\s\"]*=)[^&\s\"']+", re.IGNORECASE)


def hide_credentials(text: str) -> str:
    """Hide credentials anywhere in a text.

    `http://user:word@host/` becomes `http://***@host/`, and `?password=word` becomes `?password=***`.

    A blank, a double quote or a slash in the password must be percent-encoded, as URLs ask, or it is not recognised.
    """
    return _SECRETS.sub(r"\1***", _CREDENTIALS.sub("***@", text))


class HidingFormatter(logging.Formatter):
    """A log formatter that hides credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return hide_credentials(super().format(record))


class HidingStream:
    """Wraps a text stream and hides credentials in what is written to it; everything else is passed on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(hide_credentials(text))

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Leave the stream open, which is the process's own: absl's log handler closes what stands there no more."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
