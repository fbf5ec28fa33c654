import json

from support import QUICK

SCRIPT = """
import atexit, gc, json, runpy, sys
atexit.register(lambda: print(json.dumps([one["collections"] for one in gc.get_stats()]), file=sys.__stdout__))
runpy.run_module("mnist_flow.train", run_name="__main__", alter_sys=True)
"""


def test_a_run_looks_at_all_objects_a_few_times(tmp_path, run_command):
    """Counted, since seconds depend on the machine: each time looks at all that was imported."""
    done = run_command(tmp_path, "-c", SCRIPT, *QUICK, "epochs=1")
    assert done.returncode == 0, done.stderr
    *_, oldest = json.loads(done.stdout.splitlines()[-1])
    assert oldest <= 4
