"""What a command says, without what is another in each run of a test, to be compared with a snapshot."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_VARYING = {
    r"\b[0-9a-f]{32}\b": "RUN",
    r"\b\d{4}-\d\d-\d\d([ T_]\d\d[:-]\d\d([:-]\d\d)?)?": "WHEN",
    r"\b\d+:\d\d(:\d\d)?\b": "TIME",
    r"\b[\d.,]+( ?)(s|seconds|images/s)\b": r"SOME\1\2",
    r"(127\.0\.0\.1|localhost):\d+": r"\1:PORT",
    # Columns are as wide as paths, which vary.
    r"[ ─━═]+": " ",
}


def hide_varying(text: str, folder: Path) -> str:
    """Replace ids, times, ports, Python's path and the test's folder; sort the lines: runs begun at once have no order.

    Lines between the rows of tables are left out.
    """
    text = text.replace(str(folder), "FOLDER").replace(sys.executable, "PYTHON")
    for pattern, shown in _VARYING.items():
        text = re.sub(pattern, shown, text)
    return "\n".join(sorted(line for line in text.splitlines() if re.search(r"\w", line)))
