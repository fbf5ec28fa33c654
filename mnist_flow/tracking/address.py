"""What a tracking URI says: one that was typed is completed or refused, and that of a SQLite store has a file."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from mnist_flow.errors import TrackingError
from mnist_flow.runtime.credentials import hide_credentials

DEFAULT_FILE = Path("mlflow.db")
_HOST = re.compile(r"(localhost|[\w-]+(\.[\w-]+)+|[\w-]+(?=:\d))(:\d+)?(/.*)?")
_DATABASE_FILE = re.compile(r".*\.(db|sqlite3?)")


def complete_uri(uri: str | None, key: str) -> str:
    """Return the address that MLflow is to use for a tracking URI as it was typed.

    Args:
        uri: what was typed; None for the file mlflow.db in the working directory.
        key: the config key or environment variable that it was typed for.

    Returns:
        The URI itself; that of a SQLite store with its absolute path, so that it stays the same in another directory.

    Raises:
        TrackingError: MLflow would take it for something else than a tracking server or database.
    """
    if uri is None:
        return build_sqlite_uri(DEFAULT_FILE)
    scheme, separator, rest = uri.partition("://")
    if scheme.startswith("sqlite"):
        return _complete_sqlite(uri, key)
    if scheme in ("file", "postgres") or not separator:
        _check_is_no_mistake(uri, scheme, rest, key)
    return uri


def build_sqlite_uri(file: Path) -> str:
    """Return the URI of a SQLite store in a file, whatever is in its path.

    MLflow makes a folder of the undecoded path of a URI that begins with `sqlite:///`. So a path is encoded only where
    it has to be, and its URI then begins with the name of the driver, too.
    """
    path = str(file.absolute())
    return f"sqlite:///{path}" if unquote(path) == path and "?" not in path else f"sqlite+pysqlite:///{quote(path)}"


def find_sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store; None where the store is something else."""
    database = make_url(uri).database if uri.startswith("sqlite") else None
    return Path(database) if database and not database.startswith("file:") else None


def _complete_sqlite(uri: str, key: str) -> str:
    try:
        url = make_url(uri)
    except ArgumentError:
        raise _refuse(key, uri, f"sqlite:///{uri.partition(':')[2].lstrip('/') or DEFAULT_FILE}") from None
    if url.host:
        raise _refuse(key, uri, f"sqlite:///{url.host}{'/' + url.database if url.database else ''}")
    if url.database in (None, "", ":memory:"):
        raise TrackingError(
            f"{key}={uri}: would be gone with this process; name a file: {key}=sqlite:///{DEFAULT_FILE}"
        )
    if url.database.startswith("file:"):
        return uri
    _, question_mark, query = uri.partition("?")
    return build_sqlite_uri(Path(url.database).expanduser()) + question_mark + query


def _check_is_no_mistake(uri: str, scheme: str, rest: str, key: str) -> None:
    """Refuse what MLflow takes for a folder of files, which it keeps no runs in any more."""
    if scheme == "postgres":
        raise _refuse(key, uri, f"postgresql://{rest}")
    if uri.startswith("databricks") or uri == "uc":
        return
    if _DATABASE_FILE.fullmatch(uri):
        raise _refuse(key, uri, f"sqlite:///{uri}")
    if _HOST.fullmatch(uri) and not Path(uri).exists():
        raise _refuse(key, uri, f"http://{uri}")
    raise TrackingError(
        f"{key}={uri}: MLflow keeps no runs in a folder of files any more; name a server, or a file: "
        f"{key}=sqlite:///{DEFAULT_FILE}"
    )


def _refuse(key: str, uri: str, meant: str) -> TrackingError:
    return TrackingError(hide_credentials(f"{key}={uri}: is no tracking URI; did you mean {meant}?"))
