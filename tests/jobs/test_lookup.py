"""Jobs looked up in a real store."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.jobs.composition import list_replicates
from mnist_flow.jobs.lookup import look_up, show_plan
from mnist_flow.runtime.environment import digest_code
from mnist_flow.tracking import names, past
from mnist_flow.training.checkpoint import CheckpointFolder
from mnist_flow.training.state import TrainingState
from support import DEAD_PROCESS, QUICK

pytestmark = pytest.mark.usefixtures("output")


@pytest.fixture
def make_jobs(compose_config):
    def make(*overrides):
        return list_replicates(overrides, validate_config(compose_config(*QUICK, *overrides), TrainConfig))

    return make


@pytest.fixture
def add_run(store):
    """Create the run of a job; returns its id."""

    def add(job, status, experiment="mnist_flow", seconds=4.0, **tags):
        experiment_id = tracking.get_or_create_experiment(experiment)
        written = {
            names.KIND_TAG: "train",
            names.FINGERPRINT_TAG: job.identity.fingerprint,
            names.RECIPE_TAG: job.identity.recipe,
            names.DATA_TAG: job.data_digest,
            names.CODE_TAG: digest_code(),
            names.PROCESS_TAG: DEAD_PROCESS,
            **tags,
        }
        run = store.create_run(experiment_id, tags=written)
        store.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in job.params.items()])
        if status != "RUNNING":
            store.set_terminated(run.info.run_id, status, run.info.start_time + int(1000 * seconds))
        return run.info.run_id

    return add


@pytest.fixture
def count_runs(monkeypatch):
    """How many runs the store has answered with."""
    answered = []

    def watch(owner, name):
        ask = getattr(owner, name)

        def counted(*arguments, **options):
            answered.extend(found := ask(*arguments, **options))
            return found

        monkeypatch.setattr(owner, name, counted)

    watch(MlflowClient, "search_runs")
    watch(past, "select_runs")
    return lambda: len(answered)


def test_jobs_find_their_runs(store, make_jobs, add_run):
    jobs = make_jobs("replicates=4")
    finished, interrupted, without_checkpoint = (
        add_run(job, status) for job, status in zip(jobs, ["FINISHED", "RUNNING", "KILLED"], strict=False)
    )
    with CheckpointFolder(Path("checkpoints", interrupted)) as checkpoints:
        checkpoints.save(TrainingState(1, {}, [], 0.0, False, {}))
    found = look_up(jobs, tracking.find_experiment("mnist_flow"))
    assert [(one.state, one.run.run_id if one.run else None) for one in found] == [
        ("finished", finished),
        ("interrupted", interrupted),
        ("new", None),
        ("new", None),
    ]
    assert without_checkpoint not in [one.run.run_id for one in found if one.run]
    (alone,) = look_up(jobs[:1], tracking.find_experiment("mnist_flow"))
    assert (alone.state, alone.run.run_id) == ("finished", finished)


def test_runs_of_another_sweep_can_be_left_out(store, make_jobs, add_run):
    jobs = make_jobs("replicates=2")
    add_run(jobs[0], "FINISHED")
    mine = add_run(jobs[1], "FINISHED", **{names.PARENT_TAG: "this sweep"})
    found = look_up(jobs, tracking.find_experiment("mnist_flow"), "this sweep")
    assert [one.run.run_id if one.run else None for one in found] == [None, mine]


@pytest.mark.parametrize("plan", [False, True])
def test_what_jobs_have_in_common_keeps_other_runs_of_their_model_away(store, make_jobs, add_run, count_runs, plan):
    many = make_jobs("replicates=25")
    for job in many:
        add_run(job, "FINISHED")
    jobs = [*many[:1], *make_jobs("reg=0.5")]
    if plan:
        show_plan(jobs, n_workers=1)
        assert count_runs() == 1 + 20  # Twenty to estimate the time of the other.
    else:
        found = look_up(jobs, tracking.find_experiment("mnist_flow"))
        assert [one.state for one in found] == ["finished", "new"]
        assert count_runs() == 1


def test_no_jobs_have_no_runs(store):
    assert look_up([], "1") == []


# The plan


def test_a_plan_names_states_and_time(store, make_jobs, add_run, capsys):
    jobs = make_jobs("replicates=3")
    add_run(jobs[0], "FINISHED", seconds=4.0)  # 2 s an epoch
    show_plan(jobs, n_workers=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 jobs"
    assert [line.split()[-2] for line in lines if line.startswith("│")] == ["done", "new", "new"]
    assert lines[-2:] == [
        "1 done or running, 2 to train",
        "time: about 0:00:08 with 1 at a time, by the finished runs of these models",
    ]


def test_a_plan_of_networks_without_hidden_units_takes_the_time_of_their_model(store, compose_config, add_run, capsys):
    overrides = ["data=digits", "model=unet", "noise=salt_and_pepper", "epochs=2", "replicates=2"]
    jobs = list_replicates(overrides, validate_config(compose_config(*overrides), TrainConfig))
    assert "model.hidden_units" not in jobs[0].params
    add_run(jobs[0], "FINISHED", seconds=4.0)
    show_plan(jobs, n_workers=1)
    assert "time: about 0:00:04 with 1 at a time" in capsys.readouterr().out


def test_a_plan_takes_no_time_from_runs_on_other_data(store, make_jobs, add_run, capsys):
    add_run(make_jobs("seed=1")[0], "FINISHED", **{names.DATA_TAG: "other images"})
    show_plan(make_jobs(), n_workers=1)
    assert capsys.readouterr().out.endswith("\ntime: unknown; no finished run of such a model on these images yet\n")


def test_a_plan_that_does_not_resume_trains_all(store, make_jobs, add_run, capsys):
    jobs = make_jobs("resume=false")
    add_run(jobs[0], "FINISHED")
    show_plan(jobs, n_workers=1)
    assert "0 done or running, 1 to train" in capsys.readouterr().out


def test_a_plan_looks_where_the_variable_of_mlflow_says(store, make_jobs, add_run, capsys, monkeypatch):
    jobs = make_jobs()
    add_run(jobs[0], "FINISHED", experiment="other")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", tracking.find_experiment("other"))
    show_plan(jobs, n_workers=1)
    assert "1 done or running, 0 to train" in capsys.readouterr().out


def test_a_plan_leaves_nothing_behind(tmp_path, run_command):
    done = run_command(tmp_path, "-m", "mnist_flow.train", *QUICK, "plan=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 done or running, 1 to train\ntime: unknown" in done.stdout
    assert list(tmp_path.iterdir()) == []
