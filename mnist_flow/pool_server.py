"""What the process that a pool's processes are forked from imports, so that they don't: see mnist_flow.pool."""

import os
import signal

from joblib.parallel import ParallelBackendBase

from mnist_flow.native_output import native_stderr_hidden

# Ctrl-C reaches it, too, and is for the main process and the jobs.
signal.signal(signal.SIGINT, signal.SIG_IGN)
# As joblib does for the processes of a pool with one a core; libraries read it when they are imported.
for _name in ParallelBackendBase.MAX_NUM_THREADS_VARS:
    os.environ.setdefault(_name, "1")
# The run that `mlflow run` made is the sweep's own, no job's.
os.environ.pop("MLFLOW_RUN_ID", None)

with native_stderr_hidden():
    import mnist_flow.experiment
    import mnist_flow.models
    import mnist_flow.record
    import mnist_flow.tracking
    import mnist_flow.training  # noqa: F401

signal.signal(signal.SIGINT, signal.default_int_handler)
