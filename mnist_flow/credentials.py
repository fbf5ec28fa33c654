"""Keep credentials out of everything that is printed or logged."""

import re

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]+@")


def hide_credentials(text: str) -> str:
    """`http://user:word@host/` becomes `http://***@host/`, wherever it stands in the text."""
    return _CREDENTIALS.sub("***@", text)
