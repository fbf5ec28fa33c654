"""A run that is to be the only one of its config."""

import pytest

from mnist_flow import tracking
from mnist_flow.errors import BusyError
from mnist_flow.runtime.processes import describe_process
from mnist_flow.tracking import lifecycle, names

# Seconds since 1970; runs of the same config that ended before are known to whoever looked then.
LOOKED_AT = 1_700_000_000.0


@pytest.fixture
def create(store, monkeypatch, other_process):
    """State and end of another run of the config, and whose it is → how often ours withdrew before it was alone."""
    experiment_id = tracking.get_or_create_experiment("x")
    whose = {"ours": describe_process(), "another's": other_process[1]}

    def call(status, ended, process, alone_since=LOOKED_AT, goes=True):
        tags = {names.FINGERPRINT_TAG: "F", names.KIND_TAG: "train"}
        own = {**tags, **lifecycle.describe_owner()}
        others = {**own, names.PROCESS_TAG: whose[process]}
        other = store.create_run(experiment_id, start_time=0, tags=others).info.run_id
        if status != "RUNNING":
            store.set_terminated(other, status, int((LOOKED_AT + ended) * 1000))
        withdrawn = []

        def sleep(seconds):
            withdrawn.append([run.info.run_id for run in store.search_runs([experiment_id])])
            if goes:
                store.delete_run(other)

        monkeypatch.setattr(lifecycle.time, "sleep", sleep)
        made = lifecycle.create(experiment_id, "a name", own, alone_since)
        left = [run.info.run_id for run in store.search_runs([experiment_id])]
        for run_id in left:
            store.delete_run(run_id)
        assert made in left
        # While ours had withdrawn, only the other was there.
        assert withdrawn in ([], [[other]])
        return len(withdrawn), other in left

    return call


@pytest.mark.parametrize(
    ("status", "ended", "process", "withdrew", "stays"),
    [
        ("RUNNING", 0, "another's", 1, False),
        ("FINISHED", 1, "another's", 1, False),
        ("FINISHED", 0, "another's", 1, False),
        ("FINISHED", -1, "another's", 0, True),
        ("FAILED", 1, "another's", 0, True),
        # The server created it and broke down before it could say so.
        ("RUNNING", 0, "ours", 0, False),
    ],
)
def test_a_run_withdraws_from_what_runs_or_has_finished_meanwhile(create, status, ended, process, withdrew, stays):
    assert create(status, ended, process) == (withdrew, stays)


def test_who_does_not_ask_to_be_alone_is_not(create):
    assert create("RUNNING", 0, "another's", alone_since=None) == (0, True)


def test_the_run_of_another_process_that_stays_is_named(create, other_process):
    pid = other_process[0].pid
    with pytest.raises(
        BusyError, match=rf"^run \w{{32}} of process {pid} on .* has the same config; resume=false trains"
    ):
        create("RUNNING", 0, "another's", goes=False)
