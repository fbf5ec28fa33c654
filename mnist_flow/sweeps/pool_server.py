"""What the process that a pool's processes are forked from imports, so that they don't: see mnist_flow.sweeps.pool."""

import os
import signal

# Pending since before, or to come: Ctrl-C is not for this process.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
# The run that `mlflow run` made is the sweep's own, no job's.
os.environ.pop("MLFLOW_RUN_ID", None)

from mnist_flow.runtime.garbage import collect_rarely  # noqa: E402
from mnist_flow.runtime.native_output import native_stderr_hidden  # noqa: E402

collect_rarely()
try:
    with native_stderr_hidden():
        import mnist_flow.runs.orchestrator
        import mnist_flow.runs.record
        import mnist_flow.tracking
        import mnist_flow.training.loop  # noqa: F401
finally:
    # For the processes that are forked.
    signal.signal(signal.SIGINT, signal.default_int_handler)
