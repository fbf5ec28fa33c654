"""Confusion matrices of many runs, and what the runs answered."""

from __future__ import annotations

import json
import logging

import numpy as np
import pandas as pd

from mnist_flow import tracking
from mnist_flow.arrays import IntArray
from mnist_flow.errors import TrackingError

log = logging.getLogger(__name__)

# Not from mnist_flow.data, which can import Keras.
N_DIGITS = 10
_PATH = "confusion_matrix/confusion_matrix.json"


def fetch_confusions(table: pd.DataFrame) -> dict[str, IntArray]:
    """Confusion matrices, int (10, 10), rows true and columns predicted, by run id.

    Runs without one are left out, and a warning names each.

    Raises:
        TrackingError: no run has one.
    """
    found = {}
    for run_id, text in tracking.fetch_texts(list(table["run_id"]), _PATH):
        if isinstance(text, TrackingError):
            log.warning("%s; the run is left out", text)
        else:
            found[run_id] = np.array(json.loads(text)["counts"])
    if not found:
        raise TrackingError(f"none of the {len(table)} runs has the artifact {_PATH}; train them again: resume=false")
    return found
