"""Modules that the fork server of `sweeps.pool` preloads, so that the processes of a pool need not import them."""

import os
import signal

# Ctrl-C is not for this process: neither one that is pending from the time when it was blocked, nor a later one.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
# The run that `mlflow run` created is the parent run of the sweep, and no job's.
os.environ.pop("MLFLOW_RUN_ID", None)

from mnist_flow.runtime.garbage import collect_rarely  # noqa: E402
from mnist_flow.runtime.native_output import native_stderr_hidden  # noqa: E402

collect_rarely()
try:
    with native_stderr_hidden():
        # By name, because the project's own modules import them only when they are used.
        import keras  # noqa: F401
        import tensorflow as tf  # noqa: F401

        import mnist_flow.runs.orchestrator  # noqa: F401
        import mnist_flow.runs.record  # noqa: F401
        import mnist_flow.tracking  # noqa: F401
        import mnist_flow.training.loop  # noqa: F401
finally:
    # The processes that are forked inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
