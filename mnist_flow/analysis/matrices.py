"""Confusion matrices of many runs: which class was predicted for which."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd

from mnist_flow import tracking
from mnist_flow.errors import TrackingError

log = logging.getLogger(__name__)

_PATH = "confusion_matrix/confusion_matrix.json"


def fetch_confusions(table: pd.DataFrame) -> pd.DataFrame:
    """Fetch what the runs predicted for the test images.

    Runs without a matrix, or with a damaged one, are left out, and a warning names each.

    Args:
        table: one row a run, with the column run_id.

    Returns:
        One row a run and cell of its matrix, row by row: run_id, true and predicted (classes: names, or numbers where
        the run has logged no names or the names are numbers), count (images).

    Raises:
        TrackingError: no run has a matrix.
    """
    parts = []
    for run_id, text in tracking.fetch_texts(list(table["run_id"]), _PATH):
        if isinstance(text, TrackingError):
            log.warning("%s; the run is left out", text)
            continue
        try:
            parts.append(_read_confusion(text).assign(run_id=run_id))
        except ValueError as error:
            log.warning("run %s: its artifact %s is damaged (%s); the run is left out", run_id, _PATH, error)
    if not parts:
        raise TrackingError(
            f"none of the {len(table)} runs has the artifact {_PATH}, which classifiers log; "
            "train classifiers again: resume=false"
        )
    return pd.concat(parts, ignore_index=True)


def _read_confusion(text: str) -> pd.DataFrame:
    """A matrix as JSON: counts, and class_names where they were logged.

    Raises:
        ValueError: it is no JSON, or has not as many rows as columns of counts.
    """
    record = json.loads(text)
    counts = np.array(record.get("counts") if isinstance(record, dict) else None)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.dtype.kind != "i":
        raise ValueError("no square matrix of counts")
    names = record.get("class_names", range(len(counts)))
    if len(names) != len(counts):
        raise ValueError(f"{len(names)} names of {len(counts)} classes")
    classes = [int(name) if str(name).isdecimal() else str(name) for name in names]
    cells = pd.MultiIndex.from_product([classes, classes], names=["true", "predicted"])
    return cells.to_frame(index=False).assign(count=counts.ravel())
