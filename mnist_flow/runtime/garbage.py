"""Python's search for unreachable cycles, at the pace of processes that import TensorFlow and MLflow."""

import gc

# New objects between two searches, and how many searches until older objects are looked at; Python's own: 700, 10, 10.
_THRESHOLDS = 50_000, 10, 10


def collect_rarely() -> None:
    """From now on this process looks for unreachable cycles after 50,000 new objects.

    Imports make objects that stay, and looking at them again and again took a fifth of a short run's time. What a
    training leaves is collected by Keras before the next one, whatever the thresholds.
    """
    gc.set_threshold(*_THRESHOLDS)
