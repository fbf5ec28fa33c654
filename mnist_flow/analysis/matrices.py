"""Confusion matrices of many runs, and what the runs answered."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd

from mnist_flow import tracking
from mnist_flow.data.arrays import IntArray
from mnist_flow.errors import TrackingError

log = logging.getLogger(__name__)

# Not from mnist_flow.data.loading, which can import Keras.
N_DIGITS = 10
_PATH = "confusion_matrix/confusion_matrix.json"


def fetch_confusions(table: pd.DataFrame) -> dict[str, IntArray]:
    """Confusion matrices, int (10, 10), rows true and columns predicted, by run id.

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
            found[run_id] = _read_counts(text)
        except ValueError as error:
            log.warning("run %s: its artifact %s is damaged (%s); the run is left out", run_id, _PATH, error)
    if not found:
        raise TrackingError(f"none of the {len(table)} runs has the artifact {_PATH}; train them again: resume=false")
    return found


def _read_counts(text: str) -> IntArray:
    """The counts of a matrix as JSON.

    Raises:
        ValueError: it is no JSON, or has not 10 x 10 counts.
    """
    record = json.loads(text)
    counts = np.array(record.get("counts") if isinstance(record, dict) else None)
    if counts.shape != (N_DIGITS, N_DIGITS) or counts.dtype.kind != "i":
        raise ValueError(f"no {N_DIGITS} by {N_DIGITS} counts")
    return counts
