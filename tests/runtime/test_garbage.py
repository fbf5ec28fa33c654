import pytest

from support import QUICK, ask_at_exit


@pytest.mark.slow
def test_a_run_looks_at_all_objects_a_few_times(tmp_path):
    """Counted, since seconds depend on the machine: each time looks at all that was imported."""
    question = "[generation['collections'] for generation in gc.get_stats()]"
    *_, oldest = ask_at_exit(tmp_path, question, "mnist_flow.train", *QUICK, "epochs=1", fresh=True)
    assert oldest <= 4
