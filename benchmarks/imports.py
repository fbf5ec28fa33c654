"""Whether an analysis imports TensorFlow: python -m benchmarks.imports ARGUMENTS OF mnist_flow.analyze."""

from __future__ import annotations

import json
import runpy
import sys


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
    print(json.dumps({"tensorflow": int(analyze_imports_tensorflow(sys.argv[1:]))}))
