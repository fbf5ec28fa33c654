"""Rewrites what a store says about the places of artifacts.

MLflow 3.17 can set the place of an experiment when it is created and never again, and has no call for those of runs and
models. So this module writes to the tables of MLflow's own schema, through MLflow's own classes of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.entities import ViewType
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from mnist_flow.errors import UserError
from mnist_flow.tracking.address import find_sqlite_file
from mnist_flow.tracking.directions import get_uri
from mnist_flow.tracking.past import STALE_AFTER, lives
from mnist_flow.tracking.places import find_old_folder, to_path, to_place
from mnist_flow.tracking.server import clear_errors

_COLUMNS = (
    ("experiments", SqlExperiment, "artifact_location"),
    ("runs", SqlRun, "artifact_uri"),
    ("models", SqlLoggedModel, "artifact_location"),
    ("registered models", SqlModelVersion, "source"),
    ("registered models", SqlModelVersion, "storage_location"),
)


@dataclass(frozen=True)
class Move:
    """Artifacts that move from one folder or address to another."""

    what: str  # experiments, runs, models or registered models
    moved_from: str
    moved_to: str
    count: int


# A place as the store names it → the folder or address that it moves from and to; None where it stays.
FindMove = Callable[[str], tuple[str, str] | None]


def relocate(moved_from: str | None, moved_to: str | None, *, apply: bool) -> list[Move]:
    """Find the places that are to change and, with `apply`, change them in one transaction.

    Args:
        moved_from: folder or address (s3://…) that places begin with; None: each folder in which this SQLite store was.
        moved_to: what they begin with from now on; None: the folder of this SQLite store.
        apply: change them.

    Raises:
        TrackingError: the store does not answer, or refuses.
        UserError: the store is a server, which has no means for it; or has no file, and no folders are given; or
            runs are being written.
    """
    if get_uri().startswith(("http://", "https://")):
        raise UserError(
            f"tracking.uri={get_uri()}: a server can't be told where its artifacts moved; on its machine, name its "
            "database, what `mlflow server --backend-store-uri` names: tracking.uri=URI"
        )
    find_move = _match_store() if moved_from is None or moved_to is None else _match_prefix(moved_from, moved_to)
    _check_nothing_runs()
    found: Counter[tuple[str, str, str]] = Counter()
    with clear_errors(), Session(create_engine(mlflow.get_tracking_uri())) as session, session.begin():
        for what, table, column in _COLUMNS:
            for row in session.query(table):
                place = getattr(row, column)
                if place and (move := find_move(place)):
                    found[what, *move] += 1
                    if apply:
                        setattr(row, column, move_place(place, *move))
    return [Move(*key, count) for key, count in found.items()]


def move_place(place: str, moved_from: str, moved_to: str) -> str:
    """Return what a place that begins with one folder or address is called where that is another."""
    path = to_path(place)
    rest = place.removeprefix(moved_from).lstrip("/") if path is None else path.relative_to(moved_from).as_posix()
    return f"{moved_to.rstrip('/')}/{rest}".rstrip("/") if "://" in moved_to else to_place(Path(moved_to, rest))


def _match_prefix(moved_from: str, moved_to: str) -> FindMove:
    old, new = (text if "://" in text else str(Path(text).expanduser().absolute()) for text in (moved_from, moved_to))
    if "://" not in new and not Path(new).is_dir():
        raise UserError(f"moved_to={moved_to}: no such folder; name the one that holds the artifacts now")

    def find_move(place: str) -> tuple[str, str] | None:
        path = to_path(place)
        if path is None or "://" in old:
            begins = path is None and f"{place}/".startswith(f"{old.rstrip('/')}/")
        else:
            begins = path.is_relative_to(old)
        return (old, new) if begins else None

    return find_move


def _match_store() -> FindMove:
    store = find_sqlite_file(mlflow.get_tracking_uri())
    if store is None:
        raise UserError(
            f"moved_from: missing; {get_uri()} does not say where its artifacts were: "
            "python -m mnist_flow.relocate moved_from=FOLDER moved_to=FOLDER"
        )

    def find_move(place: str) -> tuple[str, str] | None:
        old = find_old_folder(place, store)
        return None if old is None or old == store.parent else (str(old), str(store.parent))

    return find_move


def _check_nothing_runs() -> None:
    with clear_errors():
        experiments = [one.experiment_id for one in mlflow.search_experiments(view_type=ViewType.ALL)]
        running = mlflow.MlflowClient().search_runs(experiments, "attributes.status = 'RUNNING'")
    if living := [run.info.run_id for run in running if lives(run, STALE_AFTER)]:
        raise UserError(f"run {living[0]} is being written; wait for it, or end it")
