"""A sweep typed once, and again: its parent, its tables, and what it skips."""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest
import yaml
from hydra.core.utils import JobReturn, JobStatus
from mlflow.entities import Metric, Param
from omegaconf import OmegaConf

from commands import start_command
from hydra_plugins.mnist_flow_sweeper import ResumingSweeper
from mnist_flow import tracking
from mnist_flow.errors import BusyError, ConfigError, RunError, UserError
from mnist_flow.jobs.identity import compute_fingerprint
from mnist_flow.runs.orchestrator import run_experiment
from mnist_flow.runtime.environment import digest_code
from mnist_flow.sweeps import opening
from mnist_flow.sweeps import sweep as story
from mnist_flow.sweeps.opening import open_sweep
from mnist_flow.sweeps.request import read_requests
from mnist_flow.sweeps.session import get_session
from support import (
    DEAD_PROCESS,
    PROCESS_ELSEWHERE,
    QUICK,
    count_store_calls,
    find_checkpoints,
    list_imports,
    wait_until,
)

SWEEP = ("-m", "mnist_flow.train", "-m", *QUICK, "tracking.experiment_name=x")
GRID = ("reg=0,1e-4", "replicates=2")
# Of the grid's parent, once each of its jobs has been trained in one process.
COUNTS = {
    "jobs": 4,
    "jobs_finished": 4,
    "jobs_new": 4,
    "jobs_resumed": 0,
    "jobs_skipped": 0,
    "jobs_elsewhere": 0,
    "jobs_failed": 0,
    "jobs_missing": 0,
    "workers": 1,
}


def connect(folder) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def fetch(folder, kind) -> list[mlflow.entities.Run]:
    client = connect(folder)
    experiment = client.get_experiment_by_name("x")
    return list(client.search_runs([experiment.experiment_id], f"tags.`mnist_flow.kind` = '{kind}'"))


def load_table(folder, run, name) -> pd.DataFrame:
    path = connect(folder).download_artifacts(run.info.run_id, f"sweep/{name}.csv")
    return pd.read_csv(path)


@pytest.fixture(scope="module")
def swept(tmp_path_factory, run_command):
    folder = tmp_path_factory.mktemp("swept")
    return folder, run_command(folder, *SWEEP, *GRID)


@pytest.fixture
def again(swept, tmp_path):
    """A copy of the swept folder, whose store knows that."""
    folder = tmp_path / "again"
    shutil.copytree(swept[0], folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    tracking.relocate(None, None, apply=True)
    mlflow.set_tracking_uri(None)
    return folder


def test_a_sweep_tells_what_it_does_job_by_job(swept):
    _, done = swept
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "4 jobs: 0 skipped, 0 resumed, 4 new"
    ended = [line for line in lines if "FINISHED" in line]
    assert len(ended) == 4
    assert ended[0].startswith("reg=0.0 seed=0  FINISHED  val_accuracy 0.")
    assert "[4/4 done, 0 running, 0 failed]" in ended[3]
    assert "best val_accuracy first: mean ± sample standard deviation over n seeds" in lines
    assert "epoch 1/" not in done.stdout
    assert done.stderr == ""


def test_the_parent_holds_grid_counts_and_overrides(swept, tmp_path):
    folder, _ = swept
    (parent,) = fetch(folder, "sweep")
    assert parent.info.status == "FINISHED"
    counts = {name: value for name, value in parent.data.metrics.items() if name.startswith(("jobs", "workers"))}
    assert counts == COUNTS
    grid = load_table(folder, parent, "grid")
    assert grid.drop(columns="fingerprint").to_dict("list") == {
        "job": [0, 1, 2, 3],
        "reg": [0, 0, 1e-4, 1e-4],
        "seed": [0, 1, 0, 1],
    }
    overrides = connect(folder).download_artifacts(parent.info.run_id, "sweep/overrides.yaml", str(tmp_path))
    assert "- replicates=2\n" in Path(overrides).read_text(encoding="utf-8")


def test_the_summary_has_a_row_a_job_and_the_replicates_their_mean(swept):
    folder, _ = swept
    (parent,) = fetch(folder, "sweep")
    summary = load_table(folder, parent, "summary")
    assert list(summary.columns[:3]) == ["reg", "seed", "outcome"]
    assert list(summary["outcome"]) == ["new"] * 4
    runs = {run.info.run_id: run.data for run in fetch(folder, "train")}
    for row in summary.itertuples():
        assert row.test_accuracy == runs[row.run_id].metrics["test_accuracy"]
        assert (str(row.reg), str(row.seed)) == (
            str(float(runs[row.run_id].params["reg"])),
            runs[row.run_id].params["seed"],
        )
    replicates = load_table(folder, parent, "replicates")
    assert list(replicates["n"]) == [2, 2]
    first, second = summary["test_accuracy"][:2]
    assert replicates["test_accuracy_mean"][0] == pytest.approx((first + second) / 2)
    # ddof = 1
    assert replicates["test_accuracy_std"][0] == pytest.approx(abs(first - second) / math.sqrt(2))
    assert parent.data.metrics["best_val_accuracy_mean"] == pytest.approx(replicates["val_accuracy_mean"].max())
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    try:
        mlflow.set_experiment("x")
        loaded = mlflow.load_table("sweep/summary.json", run_ids=[parent.info.run_id])
    finally:
        mlflow.set_tracking_uri(None)
    assert list(loaded["run_id"]) == list(summary["run_id"])


def test_replicates_share_a_group_and_runs_are_named_by_what_varies(swept):
    runs = fetch(swept[0], "train")
    assert sorted(run.info.run_name for run in runs) == [
        f"reg={reg} seed={seed} mlp" for reg in ("0.0", "0.0001") for seed in (0, 1)
    ]
    groups = {}
    for run in runs:
        groups.setdefault(run.data.tags["mnist_flow.group"], []).append(run.data.params["seed"])
    assert sorted(sorted(seeds) for seeds in groups.values()) == [["0", "1"], ["0", "1"]]


def test_a_parent_is_known_by_the_set_of_its_jobs(swept):
    (parent,) = fetch(swept[0], "sweep")
    jobs = [run.data.tags["mnist_flow.fingerprint"] for run in fetch(swept[0], "train")]
    assert parent.data.tags["mnist_flow.fingerprint"] == compute_fingerprint({"jobs": sorted(jobs)})


def test_the_same_command_again_trains_nothing_and_leaves_the_parent_alone(again, run_command):
    (before,) = fetch(again, "sweep")
    done = run_command(again, *(argument.replace("replicates=2", "seed=range(2)") for argument in (*SWEEP, *GRID)))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 jobs: 4 skipped, 0 resumed, 0 new\n")
    (after,) = fetch(again, "sweep")
    assert after.info.end_time == before.info.end_time
    assert len(fetch(again, "train")) == 4


def test_a_finished_sweep_asks_the_store_few_questions_however_many_jobs_it_has(again):
    """Counted, since a server may be far away."""
    calls = count_store_calls(again, *SWEEP[1:], *GRID)
    assert calls.total() <= 5


def test_the_checkpoint_of_a_finished_run_that_a_kill_left_is_removed(again, run_command):
    left = again / "checkpoints" / fetch(again, "train")[0].info.run_id / "epoch-1.npz"
    left.parent.mkdir(parents=True)
    left.touch()
    assert run_command(again, *SWEEP, *GRID).returncode == 0
    assert not left.parent.parent.exists()


def test_a_parent_that_was_killed_after_its_last_job_is_ended_with_its_tables(again, run_command):
    client = connect(again)
    (killed,) = fetch(again, "sweep")
    client.update_run(killed.info.run_id, status="RUNNING")
    client.set_tag(killed.info.run_id, "mnist_flow.process", DEAD_PROCESS)
    done = run_command(again, *SWEEP, *GRID)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 jobs: 4 skipped, 0 resumed, 0 new\n")
    assert "marked KILLED, since their processes are gone: sweep run: 1" in done.stderr
    (parent,) = fetch(again, "sweep")
    assert (parent.info.run_id, parent.info.status) == (killed.info.run_id, "FINISHED")
    assert (parent.data.metrics["jobs_finished"], parent.data.metrics["jobs_skipped"]) == (4, 4)
    assert list(load_table(again, parent, "summary")["outcome"]) == ["skipped"] * 4
    assert len(fetch(again, "train")) == 4


def test_a_larger_grid_trains_only_what_is_new(again, run_command):
    done = run_command(again, *SWEEP, "reg=0,1e-4,1e-3", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 jobs: 4 skipped, 0 resumed, 2 new\n")
    parents = fetch(again, "sweep")
    assert len(parents) == 2
    newest = max(parents, key=lambda run: run.info.start_time)
    assert newest.data.metrics["jobs_skipped"] == 4
    assert list(load_table(again, newest, "summary")["outcome"]) == ["skipped"] * 4 + ["new"] * 2
    assert len(fetch(again, "train")) == 6


def test_resume_false_trains_all_anew(again, run_command):
    done = run_command(again, *SWEEP, "reg=0,1e-4", "resume=false")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 jobs: 0 skipped, 0 resumed, 2 new\n")
    assert len(fetch(again, "train")) == 6
    newest = max(fetch(again, "sweep"), key=lambda run: run.info.start_time)
    assert newest.data.metrics["jobs_new"] == newest.data.metrics["jobs_finished"] == 2


def test_a_changed_code_version_is_said_aloud_and_by_config_trained_anew(again, run_command):
    client = connect(again)
    for run in fetch(again, "train"):
        client.set_tag(run.info.run_id, "mnist_flow.code", "0123456789abcdef")
    kept = run_command(again, *SWEEP, "reg=0,1e-4")
    assert kept.stdout.startswith("2 jobs: 2 skipped, 0 resumed, 0 new\n")
    assert "2 of them were made by another version of the code; tracking.changed_code=retrain" in kept.stderr
    anew = run_command(again, *SWEEP, "reg=0", "tracking.changed_code=retrain")
    assert anew.returncode == 0, anew.stderr
    assert anew.stdout.startswith("1 job: 0 skipped, 0 resumed, 1 new\n")
    assert len(fetch(again, "train")) == 5


def test_changed_data_is_said_aloud_and_trained_anew(again, run_command):
    client = connect(again)
    for run in fetch(again, "train"):
        client.set_tag(run.info.run_id, "mnist_flow.fingerprint", f"other{run.data.params['seed']}")
    done = run_command(again, *SWEEP, "reg=0", "seed=0,1")
    assert done.stdout.startswith("2 jobs: 0 skipped, 0 resumed, 2 new\n")
    assert "2 of them are finished on other data (its digest changed), and are trained anew" in done.stderr


@pytest.mark.parametrize("multirun", [True, False])
def test_a_plan_tells_what_is_done_and_how_long_the_rest_takes(again, run_command, multirun):
    command = SWEEP if multirun else ("-m", "mnist_flow.train", *QUICK, "tracking.experiment_name=x")
    done = run_command(again, "-X", "importtime", *command, "reg=0,1e-4,1e-3" if multirun else "reg=1e-3", "plan=true")
    assert done.returncode == 0, done.stderr
    assert not list_imports(done.stderr) & {"tensorflow", "keras"}
    assert f"{2 if multirun else 0} done or running, 1 to train" in done.stdout
    assert "by the finished runs of these models" in done.stdout
    assert len(fetch(again, "train")) == 4


def test_a_plan_on_an_empty_folder_leaves_it_empty(tmp_path, run_command):
    done = run_command(tmp_path, *SWEEP, *GRID, "plan=true")
    assert done.returncode == 0, done.stderr
    assert "time: unknown; no finished run of such a model on these images yet" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_runs_already_is_refused(tmp_path, run_command):
    arguments = (*SWEEP, "reg=0,1e-4", "epochs=100000")
    with (tmp_path / "output.txt").open("w") as output:
        process = start_command(tmp_path, *arguments, stdout=output, stderr=output)
    try:
        wait_until(lambda: find_checkpoints(tmp_path))
        second = run_command(tmp_path, *arguments)
        assert second.returncode == 2
        assert second.stderr.startswith(f"error: this sweep is running already, in process {process.pid} on ")
        single = run_command(tmp_path, "-m", "mnist_flow.train", *QUICK, *arguments[-2:], "tracking.experiment_name=x")
        assert single.returncode == 2
    finally:
        process.terminate()
        process.wait()


def test_a_pools_processes_are_forked_from_a_server(tmp_path, run_command):
    # The store cannot be, so that the sweep ends where its pool has begun to start.
    script = (
        "import runpy, mnist_flow.sweeps.pool as pool; "
        "pool.start_fork_server = lambda n_workers: print('fork server for', n_workers); "
        "runpy.run_module('mnist_flow.train', run_name='__main__', alter_sys=True)"
    )
    store = "sqlite:////nowhere/mlflow.db"
    done = run_command(
        tmp_path,
        "-c",
        script,
        *SWEEP[2:],
        *GRID,
        "hydra/launcher=local_pool",
        "hydra.launcher.n_jobs=2",
        MLFLOW_TRACKING_URI=store,
    )
    assert "/nowhere: no such folder" in done.stderr
    assert done.stdout.splitlines() == ["fork server for 2"]


def test_replicates_need_a_sweep(tmp_path, run_command):
    done = run_command(tmp_path, "-m", "mnist_flow.train", *QUICK, "replicates=3")
    assert (done.returncode, done.stderr) == (2, "error: replicates=3: is for sweeps; add -m\n")


# In this process, with jobs that log a result and train nothing


@pytest.fixture
def open_it(compose_sweep):
    """Overrides → a sweep that is open; None: all its jobs are done."""

    def call(*overrides):
        config = compose_sweep(*overrides)
        (request,) = read_requests(config)
        return open_sweep(config, request)

    return call


def test_jobs_that_go_on_from_kept_states_need_no_run_that_they_started_from(store, compose_config, request):
    quick = (*QUICK, "tracking.experiment_name=x")
    run_experiment(compose_config(*quick, "epochs=1"))
    (source,) = store.search_runs([store.get_experiment_by_name("x").experiment_id])
    warm = f"training.warm_start={source.info.run_id}"
    run_experiment(compose_config(*quick, "epochs=1", "training.keep_state=true", warm))
    store.set_tag(source.info.run_id, tracking.MODEL_DELETED_TAG, "action=delete_models")
    open_it = request.getfixturevalue("open_it")  # Within it the other fixture composes no config.
    longer = ("epochs=3", "training.keep_state=true", warm)
    assert [one.state for one in open_it(*longer).before] == ["new"]
    # With another seed there is no such state, and no run goes on from one that other code made.
    with pytest.raises(ConfigError, match=f"^{warm}: "):
        open_it(*longer, "seed=0,1")
    for run in store.search_runs([source.info.experiment_id]):
        store.set_tag(run.info.run_id, "mnist_flow.code", "0123456789abcdef")
    with pytest.raises(ConfigError, match=f"^{warm}: "):
        open_it(*longer, "epochs=4")


@pytest.fixture
def log_run(store):
    """Log a run of a job with a validation accuracy; returns its id."""

    def log(sweep, job, accuracy, status="FINISHED", **tags):
        identity = job.identity
        about = {"kind": "train", "fingerprint": identity.fingerprint, "recipe": identity.recipe, "code": digest_code()}
        named = {f"mnist_flow.{name}": value for name, value in (about | tags).items()}
        run_id = store.create_run(
            sweep.parent.experiment_id, tags=named | {"mlflow.parentRunId": sweep.parent.run_id}
        ).info.run_id
        now = int(time.time() * 1000)
        metrics = {"selected_val_accuracy": accuracy, "test_accuracy": accuracy - 0.1, "selected_epoch": 1}
        store.log_batch(
            run_id,
            [Metric(name, value, now, 0) for name, value in metrics.items()],
            [Param(key, str(value)) for key, value in job.params.items()],
        )
        if status != "RUNNING":
            store.set_terminated(run_id, status)
        return run_id

    return log


class FakeLauncher:
    """Gives each job, by its overrides, what a function makes of it: a run, or an error."""

    def __init__(self, sweep, make):
        self.sweep, self.make, self.launched = sweep, make, []

    def __call__(self, overrides, first_number):
        self.launched.append((first_number, len(overrides)))
        jobs = {job.overrides: job for job in self.sweep.jobs}
        returns = []
        for one in overrides:
            job = jobs[tuple(one)]
            result = JobReturn(overrides=list(one), status=JobStatus.COMPLETED)
            try:
                result.return_value = self.make(job)
            except Exception as error:
                result.status, result.return_value = JobStatus.FAILED, error
            returns.append(result)
        return returns


def give_accuracy(job):
    """0.7 and 0.72 without a penalty, 0.8 and 0.84 with one."""
    return 0.7 + 0.02 * job.config.seed if job.config.reg == 0 else 0.8 + 0.04 * job.config.seed


def test_a_sweep_in_process_counts_its_jobs_and_tells_the_best(open_it, log_run, store, capsys):
    sweep = open_it(*GRID)
    assert capsys.readouterr().out == "4 jobs: 0 skipped, 0 resumed, 4 new\n"
    assert sweep.command.startswith("python -m mnist_flow.train -m data=digits ")
    assert sweep.command.endswith(" tracking.experiment_name=x reg=0,1e-4 replicates=2")
    launch = FakeLauncher(sweep, lambda job: log_run(sweep, job, give_accuracy(job)))
    assert len(sweep.run(launch)) == 4
    assert launch.launched == [(0, 4)]
    sweep.end("FINISHED")
    run = store.get_run(sweep.parent.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name.startswith("sweep reg=0,1e-4 data=digits model=mlp ")
    assert run.data.metrics == COUNTS | {"best_val_accuracy_mean": pytest.approx(0.82)}
    summary = load_table(Path.cwd(), run, "summary")
    assert list(summary["val_accuracy"]) == pytest.approx([0.7, 0.72, 0.8, 0.84])
    assert list(summary["outcome"]) == ["new"] * 4
    replicates = load_table(Path.cwd(), run, "replicates")
    assert list(replicates["val_accuracy_mean"]) == pytest.approx([0.71, 0.82])
    assert list(load_table(Path.cwd(), run, "grid")["reg"]) == [0, 0, 1e-4, 1e-4]
    best, _, _, draw, counted, made = run.data.tags["mlflow.note.content"].split("\n\n")
    assert best.startswith("**reg=0.0001**: val_accuracy 0.8200 ± 0.0283, ")
    assert draw.startswith("Draw it: `python -m mnist_flow.analyze study=compare study.x=reg ")
    assert (counted, made) == ("4 of 4 jobs are finished.", f"Made by: `{sweep.command}`")
    printed = capsys.readouterr().out
    assert "best val_accuracy first: mean ± sample standard deviation over n seeds" in printed
    assert f"more in sweep/ of the parent, run {run.info.run_id} at sqlite:///" in printed
    # Typed again there is nothing to do, and the same is told.
    assert open_it(*GRID) is None
    printed = capsys.readouterr().out
    assert printed.startswith("4 jobs: 4 skipped, 0 resumed, 0 new\n")
    assert "best val_accuracy first" in printed
    assert f"/runs/{run.info.run_id}" in printed.splitlines()[-1]
    # But not where all are to be trained anew.
    anew = open_it(*GRID, "resume=false")
    assert capsys.readouterr().out == "4 jobs: 0 skipped, 0 resumed, 4 new\n"
    assert anew.parent.run_id != run.info.run_id
    # Of one job the table of replicates has no spread, and one of two that are done is skipped.
    more = open_it("reg=0,1e-3")
    assert capsys.readouterr().out == "2 jobs: 1 skipped, 0 resumed, 1 new\n"
    launch = FakeLauncher(more, lambda job: log_run(more, job, 0.9))
    more.run(launch)
    assert launch.launched == [(0, 1)]
    more.end("FINISHED")
    assert store.get_run(more.parent.run_id).data.metrics["jobs_skipped"] == 1


@pytest.mark.parametrize(("size", "batches"), [(None, [(0, 4)]), (3, [(0, 3), (3, 1)]), (2, [(0, 2), (2, 2)])])
def test_the_launcher_gets_a_batch_of_jobs_at_a_time(compose_sweep, log_run, size, batches):
    config = compose_sweep(*GRID)
    (request,) = read_requests(config)
    sweep = open_sweep(config, request)
    launch = FakeLauncher(sweep, lambda job: log_run(sweep, job, give_accuracy(job)))
    sweeper = ResumingSweeper(max_batch_size=size)
    sweeper.config = config
    sweeper.launcher = SimpleNamespace(launch=lambda batch, initial_job_idx: launch(batch, initial_job_idx))
    get_session().sweep = sweep
    returns = sweeper.sweep([])
    assert launch.launched == batches
    assert [tuple(one.overrides) for one in returns] == [job.overrides for job in sweep.jobs]


def test_what_a_job_is_told_is_in_its_config_and_no_value_of_a_variable(compose_sweep):
    config = compose_sweep(*GRID)
    (request,) = read_requests(config)
    before = len(config.hydra.overrides.hydra)
    parent = open_sweep(config, request).parent
    assert list(config.hydra.overrides.hydra)[before:] == [
        f"+hydra.job.env_set.MNIST_FLOW_EXPERIMENT_ID='{parent.experiment_id}'",
        f"+hydra.job.env_set.MNIST_FLOW_PARENT_RUN_ID='{parent.run_id}'",
        "+hydra.job.env_set.MNIST_FLOW_VARYING='reg,seed'",
        "replicates=1",
    ]


def test_jobs_that_fail_are_told_and_the_others_are_trained(open_it, log_run, store, caplog, capsys):
    def make(job):
        if job.config.seed:
            return log_run(sweep, job, 0.8)
        if job.config.reg:
            raise ValueError("\n  a mistake\nof two lines")
        raise RunError("the loss became nan")

    sweep = open_it(*GRID)
    launch = FakeLauncher(sweep, make)
    line = "2 of 4 jobs failed: reg=0.0 seed=0: the loss became nan; reg=0.0001 seed=0: ValueError: a mistake"
    with pytest.raises(RunError, match=f"^{line}$"):
        sweep.run(launch)
    assert launch.launched == [(0, 4)]
    assert "job reg=0.0 seed=0: the loss became nan" in caplog.text
    sweep.end("FAILED")
    run = store.get_run(sweep.parent.run_id)
    assert run.info.status == "FAILED"
    # What came out is told all the same, and where to look for the rest.
    printed = capsys.readouterr().out
    assert "best val_accuracy first" in printed
    assert f"/runs/{run.info.run_id}" in printed.splitlines()[-1]
    assert {name: run.data.metrics[f"jobs_{name}"] for name in ("finished", "new", "failed", "missing")} == {
        "finished": 2,
        "new": 2,
        "failed": 2,
        "missing": 0,
    }
    *_, counted, failed, _ = run.data.tags["mlflow.note.content"].split("\n\n")
    assert (counted, failed) == ("2 of 4 jobs are finished.", line)
    # The same command goes on in the same run.
    again = open_it(*GRID)
    assert again.parent.run_id == sweep.parent.run_id
    launch = FakeLauncher(again, lambda job: log_run(again, job, 0.7))
    again.run(launch)
    assert launch.launched == [(0, 2)]
    again.end("FINISHED")
    run = store.get_run(again.parent.run_id)
    assert (run.info.status, run.data.metrics["jobs_finished"], run.data.metrics["jobs_skipped"]) == ("FINISHED", 4, 2)
    steps = [(point.step, point.value) for point in store.get_metric_history(run.info.run_id, "jobs_finished")]
    assert steps == [(0, 2), (1, 4)]


def test_a_job_that_ends_without_its_run_is_not_launched_for_ever(open_it):
    sweep = open_it("reg=0,1e-4")
    launch = FakeLauncher(sweep, lambda job: None)
    with pytest.raises(RunError, match=r"^2 of 2 jobs failed: reg=0\.0: it ended as another run than was planned: thr"):
        sweep.run(launch)
    assert launch.launched == [(0, 2)]


def test_five_failures_are_named_and_the_others_counted(open_it):
    sweep = open_it("seed=range(7)")

    def make(job):
        raise RunError("no")

    with pytest.raises(RunError, match=r"^7 of 7 jobs failed: seed=0: no; .*; seed=4: no; and 2 more$"):
        sweep.run(FakeLauncher(sweep, make))


@pytest.mark.parametrize(
    ("launcher", "carried"),
    [
        ("hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", {"MNIST_NPZ": "/m.npz", "A": "b"}),
        ("hydra._internal.core_plugins.basic_launcher.BasicLauncher", {}),
    ],
)
def test_jobs_of_other_machines_get_the_variables_that_they_need(monkeypatch, launcher, carried):
    monkeypatch.setenv("MNIST_NPZ", "/m.npz")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setattr(opening.tracking, "list_variables", lambda: {"A": "b"})
    config = OmegaConf.create({"hydra": {"launcher": {"_target_": launcher}}})
    assert opening._list_carried(config) == carried


def test_a_launcher_that_breaks_down_is_told_with_what_goes_on(open_it, store):
    def break_down(overrides, first_number):
        raise OSError("no room\nat all")

    sweep = open_it("reg=0,1e-4")
    message = r"^the launcher broke down \(OSError: no room\); the same command goes on where this one stopped$"
    with pytest.raises(RunError, match=message):
        sweep.run(break_down)
    sweep.end("KILLED")
    run = store.get_run(sweep.parent.run_id)
    assert (run.info.status, run.data.metrics["jobs_missing"]) == ("KILLED", 2)
    # Of nothing nothing is told to be the best.
    assert run.data.tags["mlflow.note.content"].startswith("0 of 2 jobs are finished.\n\nMade by: `")


@pytest.mark.parametrize(("status", "stopped"), [("KILLED", 1), ("FAILED", 0)])
def test_what_trains_its_jobs_is_stopped_where_a_sweep_is_killed(open_it, monkeypatch, status, stopped):
    calls = []
    monkeypatch.setattr(story, "stop_workers", lambda: calls.append(status))
    open_it("reg=0,1e-4").end(status)
    assert len(calls) == stopped


def test_a_job_that_another_process_trains_is_waited_for(open_it, log_run, store, caplog, monkeypatch):
    monkeypatch.setattr(story, "_POLL_SECONDS", 0)
    sweep = open_it("reg=0,1e-4")
    began = []

    def make(job):
        if job.config.reg:
            return log_run(sweep, job, 0.8)
        # Another process was faster; it ends while the sweep waits.
        began.append(log_run(sweep, job, 0.9, "RUNNING", process=PROCESS_ELSEWHERE, heartbeat=str(int(time.time()))))
        raise BusyError("it runs already")

    fetch = sweep.fetch_plan
    plans = []

    def fetch_plan():
        plans.append(fetch())
        if len(plans) == 3:
            store.set_terminated(began[0])
        return plans[-1]

    monkeypatch.setattr(sweep, "fetch_plan", fetch_plan)
    launch = FakeLauncher(sweep, make)
    sweep.run(launch)
    assert launch.launched == [(0, 2)]
    assert len(plans) == 4
    assert caplog.text.count(f"waiting for run {began[0]} of process 4242 on elsewhere") == 1
    sweep.end("FINISHED")
    assert store.get_run(sweep.parent.run_id).data.metrics["jobs_finished"] == 2


def test_runs_of_other_code_count_and_are_told_until_they_are_to_be_trained_anew(
    open_it, log_run, store, caplog, capsys
):
    sweep = open_it("reg=0,1e-4")
    for job in sweep.jobs:
        log_run(sweep, job, 0.8, code="older")
    sweep.end("KILLED")
    open_it("reg=0,1e-4").end("KILLED")
    assert "2 skipped" in capsys.readouterr().out
    assert (
        "2 of them were made by another version of the code; tracking.changed_code=retrain trains them" in caplog.text
    )
    open_it("reg=0,1e-4", "tracking.changed_code=retrain").end("KILLED")
    assert "2 jobs: 0 skipped, 0 resumed, 2 new" in capsys.readouterr().out
    # The same config on other data.
    for run in store.search_runs([sweep.parent.experiment_id], "tags.`mnist_flow.kind` = 'train'"):
        store.set_tag(run.info.run_id, "mnist_flow.fingerprint", "of other data")
    open_it("reg=0,1e-4").end("KILLED")
    assert "2 of them are finished on other data (its digest changed), and are trained anew" in caplog.text


def test_a_sweep_that_is_running_is_refused_in_process(open_it):
    sweep = open_it("reg=0,1e-4")
    with pytest.raises(UserError, match=f"^this sweep is running already, in .* as run {sweep.parent.run_id}; wait"):
        open_it("reg=0,1e-4")


def test_a_list_of_jobs_is_kept_by_the_parent(open_it, tmp_path, store):
    (tmp_path / "jobs.yaml").write_text("- [reg=0]\n- [reg=1e-4, seed=3]\n")
    sweep = open_it("jobs=jobs.yaml")
    assert [(job.config.reg, job.config.seed) for job in sweep.jobs] == [(0, 0), (1e-4, 3)]
    sweep.end("KILLED")
    text = tracking.fetch_text(sweep.parent.run_id, "sweep/jobs.yaml")
    assert text == (tmp_path / "jobs.yaml").read_text()
    grid = json.loads(tracking.fetch_text(sweep.parent.run_id, "sweep/grid.json"))
    assert grid["columns"] == ["job", "reg", "seed", "fingerprint"]


def test_a_list_of_jobs_may_be_typed_and_is_kept_by_the_parent_like_that_of_a_file(open_it, store):
    sweep = open_it('jobs=[["reg=0"],["reg=1e-4","seed=3"]]')
    assert [(job.config.reg, job.config.seed) for job in sweep.jobs] == [(0, 0), (1e-4, 3)]
    sweep.end("KILLED")
    text = tracking.fetch_text(sweep.parent.run_id, "sweep/jobs.yaml")
    assert yaml.safe_load(text) == [["reg=0"], ["reg=1e-4", "seed=3"]]
