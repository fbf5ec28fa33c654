"""Confusion matrices of many runs: which class was predicted for which."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnist_flow import tracking
from mnist_flow.data.arrays import IntArray
from mnist_flow.errors import TrackingError

log = logging.getLogger(__name__)

_PATH = "confusion_matrix/confusion_matrix.json"


@dataclass(frozen=True)
class Confusion:
    """What a run predicted for the test images."""

    # (classes, classes), rows true and columns predicted.
    counts: IntArray
    # By row and column: names, or numbers where the run has logged no names or the names are numbers.
    classes: tuple[int | str, ...]


def fetch_confusions(table: pd.DataFrame) -> dict[str, Confusion]:
    """Confusion matrices by run id.

    Runs without one, or with a damaged one, are left out, and a warning names each.

    Raises:
        TrackingError: no run has one.
    """
    found = {}
    for run_id, text in tracking.fetch_texts(list(table["run_id"]), _PATH):
        if isinstance(text, TrackingError):
            log.warning("%s; the run is left out", text)
            continue
        try:
            found[run_id] = _read_confusion(text)
        except ValueError as error:
            log.warning("run %s: its artifact %s is damaged (%s); the run is left out", run_id, _PATH, error)
    if not found:
        raise TrackingError(f"none of the {len(table)} runs has the artifact {_PATH}; train them again: resume=false")
    return found


def _read_confusion(text: str) -> Confusion:
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
    return Confusion(counts, tuple(int(name) if str(name).isdecimal() else str(name) for name in names))
