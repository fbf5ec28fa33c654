"""What imports cost and bring: python -m benchmarks.imports mlflow | analyze ARGUMENTS."""

from __future__ import annotations

import json
import runpy
import sys
import time


def time_mlflow() -> float:
    """Seconds that a training spends on importing MLflow and what tracks with it, all else being imported."""
    import benchmarks.untracked  # noqa: F401 - everything but the tracking

    start = time.perf_counter()
    import mnist_flow.record
    import mnist_flow.tracking  # noqa: F401

    return time.perf_counter() - start


def analyze_imports_tensorflow(arguments: list[str]) -> bool:
    """Whether TensorFlow is there after an analysis in this process."""
    sys.argv = ["mnist_flow.analyze", *arguments]
    try:
        runpy.run_module("mnist_flow.analyze", run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        if leaving.code:
            raise
    return "tensorflow" in sys.modules


if __name__ == "__main__":
    if sys.argv[1] == "mlflow":
        print(json.dumps({"import_seconds": time_mlflow()}))
    else:
        print(json.dumps({"tensorflow": int(analyze_imports_tensorflow(sys.argv[2:]))}))
