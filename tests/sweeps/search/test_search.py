"""A search typed once, and again with more trials: its runs, its parent, and what is resumed."""

from __future__ import annotations

import json
import pathlib
import re
import shutil

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.entities import Metric, Param

from mnist_flow import tracking
from mnist_flow.analysis.query import _describe_unfinished
from mnist_flow.errors import RunError
from mnist_flow.sweeps.search import plan
from mnist_flow.sweeps.search import search as story
from mnist_flow.sweeps.search.opening import open_search
from support import QUICK

SEARCH = ("-m", "mnist_flow.train", "-m", "hydra/sweeper=optuna", *QUICK, "tracking.experiment_name=x")
SPACE = (
    "optimizer.learning_rate=tag(log,interval(1e-6,1))",
    "optimizer=sgd,adam",
    "optimizer.momentum=interval(0,0.9)",
)
TWO = "evaluation.objective=[val_accuracy,n_parameters]"
PRUNED = ("hydra.sweeper.pruner=median", "hydra.sweeper.pruner_options={n_startup_trials: 1}")


def fetch(folder, kind):
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("x")
    return list(client.search_runs([experiment.experiment_id], f"tags.`mnist_flow.kind` = '{kind}'"))


def load(folder, run, name):
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client.download_artifacts(run.info.run_id, f"sweep/{name}")


@pytest.fixture(scope="module")
def searched(tmp_path_factory, run_command):
    folder = tmp_path_factory.mktemp("searched")
    return folder, run_command(folder, *SEARCH, *SPACE, *PRUNED, "hydra.sweeper.n_trials=3")


@pytest.fixture
def again(searched, tmp_path):
    """A copy of the folder, whose store knows that."""
    folder = tmp_path / "again"
    shutil.copytree(searched[0], folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    tracking.relocate(None, None, apply=True)
    mlflow.set_tracking_uri(None)
    return folder


def test_a_search_trains_its_trials_and_says_what_it_chose(searched):
    folder, done = searched
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "3 trials: 0 complete, 0 pruned, 0 failed, 0 resumed, 3 new"
    assert sum(line.startswith("trial ") for line in lines) == 3
    runs = fetch(folder, "train")
    (parent,) = fetch(folder, "sweep")
    assert parent.info.status == "FINISHED"
    assert sorted(run.data.tags["mnist_flow.trial"] for run in runs) == ["0", "1", "2"]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent.info.run_id}
    trials = pd.read_csv(load(folder, parent, "trials.csv"))
    assert list(trials["trial"]) == [0, 1, 2]
    by_trial = {int(run.data.tags["mnist_flow.trial"]): run for run in runs}
    for row in trials.itertuples():
        run = by_trial[row.trial]
        assert row.run_ids == run.info.run_id
        assert run.data.params["optimizer.name"] == row.optimizer
        if row.state == "pruned":
            assert run.info.status == "KILLED"
            assert run.data.tags["mnist_flow.pruned"] == str(int(row.last_step))
            assert run.data.tags["mnist_flow.pruned_because"] == row.reason
            assert f"at epoch {row.last_step:.0f} is behind that of other trials" in row.reason
        elif row.state == "complete":
            assert run.info.status == "FINISHED"
    complete = trials[trials["state"] == "complete"]
    assert set(trials["state"]) == {"complete", "pruned"}
    # Trials of adam have no momentum.
    assert trials["optimizer.momentum"].isna().any()
    assert not re.search(r"\b(nan|None)\b", done.stdout)
    assert parent.data.metrics["best_val_accuracy"] == pytest.approx(complete["val_accuracy"].max())


def test_the_best_is_a_preset(searched):
    folder, _ = searched
    (parent,) = fetch(folder, "sweep")
    trials = pd.read_csv(load(folder, parent, "trials.csv"))
    best = trials.loc[trials["val_accuracy"].where(trials["state"] == "complete").idxmax()]
    with pathlib.Path(load(folder, parent, "best.yaml")).open(encoding="utf-8") as file:
        text = file.read()
    preset = yaml.safe_load(text)
    assert text.startswith("# @package _global_\n")
    assert {"override /optimizer": best["optimizer"]} in preset["defaults"]
    assert preset["optimizer"]["learning_rate"] == pytest.approx(best["optimizer.learning_rate"])
    assert preset["epochs"] == 2
    assert "tracking" not in preset


def test_a_search_is_drawn_and_its_figures_are_logged_to_its_parent(again, run_command):
    done = run_command(again, "-m", "mnist_flow.analyze", "study=search", "tracking.experiment_name=x")
    assert done.returncode == 0, done.stderr
    (parent,) = fetch(again, "sweep")
    assert f"run {parent.info.run_id} of experiment 'x':" in done.stdout
    client = mlflow.MlflowClient(f"sqlite:///{again / 'mlflow.db'}")
    logged = {file.path for file in client.list_artifacts(parent.info.run_id, "analysis/search-x")}
    # Three trials tell no importances.
    named = [f"analysis/search-x/search-x_{what}" for what in ("history", "slices", "parallel", "curves")]
    files = {f"{name}.{ending}" for name in named for ending in ("png", "svg")}
    assert logged == files | {"analysis/search-x/search-x_trials.csv"}
    n_pruned = sum("mnist_flow.pruned" in run.data.tags for run in fetch(again, "train"))
    done = run_command(again, "-m", "mnist_flow.analyze", "study=curves", "tracking.experiment_name=x")
    assert done.returncode == 0, done.stderr
    assert f"{n_pruned} runs that a search pruned are left out; study=search draws them" in done.stderr


def test_a_run_that_is_no_search_is_not_drawn(again, run_command):
    run = fetch(again, "train")[0].info.run_id
    draw = ("-m", "mnist_flow.analyze", "study=search", "tracking.experiment_name=x", f"study.run_id={run}")
    done = run_command(again, *draw)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"run_id={run}: its artifact sweep/search.json can't be had" in line
    assert line.endswith("only the parent run of a search has it")


def test_a_trial_is_repeated_with_the_options_that_the_search_chose(again, run_command):
    trials = [run for run in fetch(again, "train") if run.info.status == "FINISHED"]
    trial = next(run for run in trials if run.data.params["optimizer.name"] == "adam")
    done = run_command(again, "-m", "mnist_flow.rerun", f"run_id={trial.info.run_id}")
    assert done.returncode == 0, done.stderr
    assert f"repeats run {trial.info.run_id}: all " in done.stdout
    logged = mlflow.artifacts.load_text(f"{trial.info.artifact_uri}/config/hydra.yaml")
    choices = yaml.safe_load(logged)["hydra"]["runtime"]["choices"]
    assert (choices["optimizer"], choices["model"], choices["data"]) == ("adam", "mlp", "digits")


def test_the_same_search_with_more_trials_goes_on_and_confirms_the_best(again, run_command):
    wanted = ("hydra.sweeper.n_trials=4", "hydra.sweeper.confirm=1", "hydra.sweeper.confirm_seeds=2")
    done = run_command(again, *SEARCH, *SPACE, *PRUNED, *wanted)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].endswith("0 resumed, 1 new")
    (parent,) = fetch(again, "sweep")
    runs = fetch(again, "train")
    confirming = [run for run in runs if "mnist_flow.confirms" in run.data.tags]
    assert sorted(run.data.params["seed"] for run in confirming) == ["1", "2"]
    assert len(runs) == 4 + 2
    (row,) = pd.read_csv(load(again, parent, "confirmation.csv")).itertuples()
    assert row.n == 2
    tests = [run.data.metrics["test_accuracy"] for run in confirming]
    assert parent.data.metrics["chosen_test_accuracy"] == pytest.approx(sum(tests) / 2)


def test_several_objectives_leave_a_pareto_front_and_a_plan_tells_what_is_left(tmp_path, run_command):
    search = (*SEARCH, "model.hidden_units=[4],[8]", TWO, "epochs=1", "hydra.sweeper.sampler=random")
    planned = run_command(tmp_path, *search, "plan=true", "hydra.sweeper.n_trials=3")
    assert planned.returncode == 0, planned.stderr
    assert "the space:\n  'model.hidden_units=[4],[8]'\n" in planned.stdout
    assert "3 trials: 0 complete, 0 pruned, 0 failed, 0 resumed, 3 new\ntime: unknown" in planned.stdout
    done = run_command(tmp_path, *search, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    assert "Pareto front, val_accuracy maximised, n_parameters minimised: " in done.stdout
    (parent,) = fetch(tmp_path, "sweep")
    trials = pd.read_csv(load(tmp_path, parent, "trials.csv"))
    front = pd.read_csv(load(tmp_path, parent, "pareto.csv"))
    smallest = trials[trials["n_parameters"] == trials["n_parameters"].min()]
    assert smallest["val_accuracy"].max() in set(front["val_accuracy"])
    assert front["val_accuracy"].iloc[0] == trials["val_accuracy"].max()
    assert parent.data.metrics["best_n_parameters"] == trials["n_parameters"].min()
    assert not any(name.startswith("chosen_") for name in parent.data.metrics)
    best = front.iloc[0]
    text = pathlib.Path(load(tmp_path, parent, f"pareto/trial_{best['trial']}.yaml")).read_text(encoding="utf-8")
    assert str(yaml.safe_load(text)["model"]["hidden_units"]) == best["model.hidden_units"]
    planned = run_command(tmp_path, *search, "plan=true", "hydra.sweeper.n_trials=5")
    assert "5 trials: 3 complete, 0 pruned, 0 failed, 0 resumed, 2 new\ntime: about 0:" in planned.stdout
    assert "with 1 at a time, by the trials that have ended" in planned.stdout
    assert len(fetch(tmp_path, "train")) == len(set(trials["run_ids"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reg=1e-5"], "error: hydra/sweeper=optuna: nothing is to be searched"),
        (["reg=interval(0,1)", "evaluation.objective=test_loss"], "the test set is for what has been chosen"),
        (["reg=interval(0,1)", "hydra.sweeper.pruner=wilcoxon"], "compares seeds; set replicates=5"),
        (["reg=interval(0)"], "reg=interval(0): is no range that Hydra can read; write 'interval(0.001,1)', 'tag(log,"),
        (["reg=interval(0,1)", "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: must be greater"),
        (["reg=choice(0,few)"], "error: reg=few: must be a valid number"),
        (
            ["reg=interval(0,1)", "evaluation.objective=accuracy"],
            "evaluation.objective=accuracy: must be 'val_accuracy'",
        ),
        (["reg=interval(0,1)", f"{TWO}", "hydra.sweeper.pruner=median"], "median: compares one objective, and evalu"),
        (["reg=interval(0,1)", f"{TWO}", "hydra.sweeper.confirm=2"], "confirm=2: is for the best trials, and evalua"),
        (
            ["reg=interval(0,1)", "evaluation.objective=[val_loss,val_loss]"],
            "[val_loss,val_loss]: names a metric twice",
        ),
        (
            ["reg=interval(0,1)", "evaluation.objective=[val_loss,test_loss]"],
            "evaluation.objective=test_loss: a search",
        ),
        (["data.folds=2", "data.fold=range(2)"], "data.fold: is not for a search to choose; all trials are measured"),
        (
            ["reg=interval(0,1)", "hydra/sweeper=resuming"],
            "reg=interval(0,1): a grid needs a list of values; intervals are",
        ),
    ],
)
def test_bad_input_is_a_line_before_anything_is_begun(tmp_path, run_command, overrides, message):
    done = run_command(tmp_path, *SEARCH, *overrides)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "mlflow.db").exists()


def test_a_chosen_trial_whose_run_is_gone_is_told(again, run_command):
    client = mlflow.MlflowClient(f"sqlite:///{again / 'mlflow.db'}")
    (parent,) = fetch(again, "sweep")
    choices = {"optimizer.learning_rate": 0.01, "optimizer": "adam"}
    gone = {"state": "complete", "choices": choices, "values": [1.0], "run_ids": ["0" * 32], "reason": ""}
    client.set_tag(parent.info.run_id, "mnist_flow.trial.3", json.dumps(gone))
    done = run_command(again, *SEARCH, *SPACE, *PRUNED, "hydra.sweeper.n_trials=4", "tracking.register=best")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the chosen trial has no results, and is not registered: ")
    assert "0" * 32 in done.stderr
    assert "Traceback" not in done.stderr


# In this process, with trials that log a result and train nothing


@pytest.fixture
def open_it(compose_sweep):
    """Overrides → a search that is open, which its end closes; None: only its plan was asked for."""
    opened = []

    def call(*overrides):
        search = open_search(compose_sweep("hydra/sweeper=optuna", "hydra.sweeper.sampler=random", *overrides))
        opened.append(search)
        return search

    yield call
    for search in opened:
        if search is not None:
            search.server.close()


class FakeTrials:
    """A launcher whose jobs get a trial each, and what a list has of it: its objectives, or why it failed."""

    def __init__(self, store, search, outcomes, epochs=()):
        self.store, self.search, self.outcomes, self.epochs = store, search, list(outcomes), list(epochs)
        self.launched, self.assigned = [], []

    def __call__(self, overrides, first_number):
        self.launched.append((first_number, len(overrides)))
        assert all(one == [] for one in overrides)
        for _ in overrides:
            self._run_trial(self.search.connect())
        return [None] * len(overrides)

    def _run_trial(self, connection):
        assignment = connection.answer("next")
        if assignment is None:
            return
        self.assigned.append(assignment)
        outcome = self.outcomes.pop(0)
        config = assignment.config
        if isinstance(outcome, str):
            run_id = self._log_run(assignment, config["seed"], ())
            connection.answer("run", run_id, False)
            self.store.set_terminated(run_id, "FAILED")
            connection.answer("failed", outcome)
            return
        for number, objectives in enumerate(outcome, start=1):
            run_id = self._log_run(assignment, config["seed"] + number - 1, objectives)
            connection.answer("run", run_id, False)
            for epoch, value in enumerate(self.epochs.pop(0) if self.epochs else [], start=1):
                if reason := connection.answer("epoch", epoch, value):
                    self.store.set_tag(run_id, "mnist_flow.pruned", str(epoch))
                    self.store.set_tag(run_id, "mnist_flow.pruned_because", reason)
                    self.store.set_terminated(run_id, "KILLED")
                    connection.answer("pruned", reason)
                    return
            self.store.set_terminated(run_id)
            connection.answer("result", number, objectives, number == len(outcome))
        connection.answer("complete")

    def _log_run(self, assignment, seed, objectives):
        parent = self.search.parent
        tags = {**assignment.tags, "mnist_flow.kind": "train", "mlflow.parentRunId": parent.run_id}
        run_id = self.store.create_run(parent.experiment_id, tags=tags).info.run_id
        # The plain name is the last epoch's, which is not the selected one.
        metrics = {"selected_epoch": 1, "val_accuracy": 0.01}
        for name, value in zip(self.search.base.objectives, objectives, strict=False):
            metrics |= {f"selected_{name}" if name.startswith("val_") else name: value}
        metrics |= {"test_accuracy": objectives[0] - 0.1} if objectives else {}
        points = [Metric(name, value, 0, 0) for name, value in metrics.items()]
        self.store.log_batch(run_id, points, [Param("seed", str(seed))])
        return run_id


HERE = ("reg=interval(0,1)", "optimizer=sgd,adam")


def load_here(store, search, name):
    return pd.read_csv(store.download_artifacts(search.parent.run_id, f"sweep/{name}.csv"))


def test_a_search_in_process_tells_each_trial_and_chooses_the_best(open_it, store, capsys, monkeypatch):
    monkeypatch.setattr(story, "_SETTLING", 0)
    search = open_it(*HERE, "hydra.sweeper.n_trials=4")
    assert capsys.readouterr().out == "4 trials: 0 complete, 0 pruned, 0 failed, 0 resumed, 4 new\n"
    launch = FakeTrials(store, search, [[[0.5]], [[0.9]], "out of memory", [[0.7]]])
    assert len(search.run(launch)) == 4
    assert launch.launched == [(0, 4)]
    search.end("FINISHED")
    lines = capsys.readouterr().out.splitlines()
    told = [line.rpartition("  [") for line in lines if line.startswith("trial ")]
    assert [end for _, _, end in told] == ["1/4]", "2/4]", "3/4]", "4/4]"]
    outcomes = [begin.partition("  ")[2] for begin, _, _ in told]
    assert outcomes[:2] == ["complete val_accuracy 0.5", "complete val_accuracy 0.9"]
    assert outcomes[2] == "failed  (out of memory)"
    choices = launch.assigned[1].tags["mnist_flow.choices"]
    reg, optimizer = json.loads(choices)["reg"], json.loads(choices)["optimizer"]
    assert told[1][0].startswith(f"trial 1: optimizer={optimizer} reg={reg:.4g}  ")
    assert any(line.startswith("chosen: trial 1; sweep/best.yaml of the parent, run ") for line in lines)
    assert any("best val_accuracy first" in line for line in lines)
    run = store.get_run(search.parent.run_id)
    assert run.info.status == "FINISHED"
    assert {name: value for name, value in run.data.metrics.items() if name != "best_val_accuracy"} == {
        "trials": 4,
        "trials_complete": 3,
        "trials_pruned": 0,
        "trials_failed": 1,
        "chosen_val_accuracy": 0.9,
        "chosen_test_accuracy": 0.8,
    }
    # One point a trial.
    curve = [(point.step, point.value) for point in store.get_metric_history(run.info.run_id, "best_val_accuracy")]
    assert curve == [(1, 0.5), (2, 0.9), (3, 0.9), (4, 0.9)]
    trials = load_here(store, search, "trials")
    assert trials["state"].tolist() == ["complete", "complete", "failed", "complete"]
    space = load_here(store, search, "space")
    distributions = dict(zip(space["key"], space["distribution"], strict=True))
    assert sorted(distributions) == ["optimizer", "reg"]
    assert distributions["optimizer"] == "CategoricalDistribution(choices=('sgd', 'adam'))"
    preset = tracking.fetch_text(run.info.run_id, "sweep/best.yaml")
    assert preset.splitlines()[1] == f"# Trial 1 of run {run.info.run_id}: val_accuracy 0.9."
    assert yaml.safe_load(preset)["reg"] == reg
    *defaults, last = yaml.safe_load(preset)["defaults"]
    assert {"override /data": "digits"} in defaults
    assert {"override /optimizer": optimizer} in defaults
    assert {key for one in defaults for key in one} == {"override /data", "override /model", "override /optimizer"}
    assert last == "_self_"
    assert not {"tracking", "data", "optimizer", "hydra"} & set(yaml.safe_load(preset))
    chosen, counted, title, table, draw, made = run.data.tags["mlflow.note.content"].split("\n\n")
    assert chosen == (
        f"**optimizer={optimizer} reg={reg:.4g}** (trial 1; its preset is `sweep/best.yaml` of the artifacts): "
        "test_accuracy 0.8000, val_accuracy 0.9000"
    )
    assert counted == "4 trials: 3 complete, 0 pruned, 1 failed."
    assert title == "best val_accuracy first:"
    assert [row.split("|")[1].replace("&emsp;", "").strip() for row in table.splitlines()[2:]] == ["1", "3", "0"]
    assert draw.endswith(f"study=search study.run_id={run.info.run_id} tracking.experiment_name=x`")
    assert made == f"Made by: `{search.command}`"
    # It goes on with one more, which is the best then, and the numbers are added.
    more = open_it(*HERE, "hydra.sweeper.n_trials=5")
    assert capsys.readouterr().out == "5 trials: 3 complete, 0 pruned, 1 failed, 0 resumed, 1 new\n"
    assert more.parent.run_id == run.info.run_id
    launch = FakeTrials(store, more, [[[0.95]]])
    more.run(launch)
    more.end("FINISHED")
    assert [one.trial for one in launch.assigned] == [4]
    history = store.get_metric_history(run.info.run_id, "trials")
    assert [(point.step, point.value) for point in history] == [(0, 4), (1, 5)]


def test_the_best_are_confirmed_with_fresh_seeds_and_chosen_by_these(open_it, store, capsys):
    wanted = ("replicates=2", "hydra.sweeper.n_trials=3", "hydra.sweeper.confirm=2", "hydra.sweeper.confirm_seeds=3")
    search = open_it(*HERE, *wanted)
    first = [[[0.5], [0.5]], [[0.9], [0.7]], [[0.7], [0.7]]]
    # The best by the search is the worse of both with other seeds.
    launch = FakeTrials(store, search, [*first, [[0.6], [0.6], [0.6]], [[0.7], [0.8], [0.9]]])
    search.run(launch)
    assert launch.launched == [(0, 3), (3, 2)]
    assert [one.trial for one in launch.assigned[3:]] == [1, 2]
    assert {(one.config["seed"], one.config["replicates"]) for one in launch.assigned[:3]} == {(0, 2)}
    assert {(one.config["seed"], one.config["replicates"]) for one in launch.assigned[3:]} == {(2, 3)}
    assert [one.tags.get("mnist_flow.confirms") for one in launch.assigned] == [None] * 3 + ["true"] * 2
    search.end("FINISHED")
    table = load_here(store, search, "confirmation")
    assert table.drop(columns=["run_ids", "reason"]).to_dict("list") == {
        "trial": [1, 2],
        "val_accuracy_in_search": [0.8, 0.7],
        "n": [3, 3],
        "val_accuracy_mean": [pytest.approx(0.6), pytest.approx(0.8)],
        "val_accuracy_std": [pytest.approx(0, abs=1e-9), pytest.approx(0.1)],
    }
    printed = capsys.readouterr().out
    assert "the best again, with fresh seeds" in printed
    assert "chosen: trial 2; " in printed
    run = store.get_run(search.parent.run_id)
    assert run.data.metrics["chosen_test_accuracy"] == pytest.approx(0.7)
    assert "# Trial 2 of run " in tracking.fetch_text(run.info.run_id, "sweep/best.yaml")


def test_of_several_objectives_each_trial_of_the_front_has_its_preset(open_it, store, capsys):
    search = open_it(*HERE, TWO, "hydra.sweeper.n_trials=3")
    launch = FakeTrials(store, search, [[[0.9, 300.0]], [[0.8, 100.0]], [[0.7, 200.0]]])
    search.run(launch)
    search.end("FINISHED")
    run = store.get_run(search.parent.run_id)
    assert run.data.metrics["trials_pareto"] == 2
    assert (run.data.metrics["best_val_accuracy"], run.data.metrics["best_n_parameters"]) == (0.9, 100)
    assert load_here(store, search, "pareto")["trial"].tolist() == [0, 1]
    files = {file.path for file in store.list_artifacts(run.info.run_id, "sweep/pareto")}
    assert files == {"sweep/pareto/trial_0.yaml", "sweep/pareto/trial_1.yaml"}
    for assigned in launch.assigned[:2]:
        preset = tracking.fetch_text(run.info.run_id, f"sweep/pareto/trial_{assigned.trial}.yaml")
        assert yaml.safe_load(preset)["reg"] == json.loads(assigned.tags["mnist_flow.choices"])["reg"]
    assert not any(file.path == "sweep/best.yaml" for file in store.list_artifacts(run.info.run_id, "sweep"))
    printed = capsys.readouterr().out
    assert "Pareto front, val_accuracy maximised, n_parameters minimised: 2 trials" in printed
    assert "trial 1: " in printed
    assert "complete val_accuracy 0.8, n_parameters 100  [2/3]" in printed
    assert f"sweep/pareto/ of the parent, run {run.info.run_id} at sqlite:///" in printed


def test_hopeless_trials_are_pruned_and_are_none_of_the_best(open_it, store, capsys):
    search = open_it(*HERE, *PRUNED, "hydra.sweeper.n_trials=2")
    launch = FakeTrials(store, search, [[[0.9]], [[0.95]]], epochs=[[0.8, 0.9], [0.1, 0.95]])
    search.run(launch)
    assert [one.epoch_metric for one in launch.assigned] == ["val_accuracy"] * 2
    search.end("FINISHED")
    reason = "its objective 0.1 at epoch 1 is behind that of other trials"
    assert f"pruned val_accuracy 0.1  ({reason})  [2/2]\n" in capsys.readouterr().out
    assert store.get_run(search.parent.run_id).data.metrics["trials_pruned"] == 1
    assert [record.number for record in search.best] == [0]
    # Both are known again, with what was reported.
    again = open_it(*HERE, *PRUNED, "hydra.sweeper.n_trials=2")
    assert [(one.state, one.reports, one.reason) for one in again.coordinator.records[1:]] == [("pruned", {}, reason)]


def test_a_search_of_which_all_trials_fail_is_an_error(open_it, store):
    search = open_it(*HERE, "hydra.sweeper.n_trials=2")
    with pytest.raises(RunError, match=r"^none of 2 trials was completed; see sweep/trials of the parent run$"):
        search.run(FakeTrials(store, search, ["no", "no"]))
    search.end("FAILED")
    run = store.get_run(search.parent.run_id)
    assert (run.info.status, run.data.metrics["trials_failed"]) == ("FAILED", 2)
    more = open_it(*HERE, "hydra.sweeper.n_trials=50")
    message = r"^10 trials failed one after the other, the last: no \(9\); the others are kept, and the same command"
    with pytest.raises(RunError, match=message):
        more.run(FakeTrials(store, more, [f"no ({number})" for number in range(50)]))
    more.end("FAILED")


def test_a_trial_whose_config_is_wrong_fails_before_any_process_has_it(open_it, store):
    search = open_it("augmentation=shift", "augmentation.max_pixels=choice(2,40)", "hydra.sweeper.n_trials=6")
    launch = FakeTrials(store, search, 6 * [[[0.5]]])
    search.run(launch)
    reasons = {one.reason for one in search.coordinator.records if one.state == "failed"}
    assert reasons == {"augmentation.max_pixels=40: must be at most 27, or nothing is left"}
    assert {one.config["augmentation"]["max_pixels"] for one in launch.assigned} == {2}


def test_no_trial_is_begun_after_the_time_that_a_search_has(open_it, store):
    search = open_it(*HERE, "hydra.sweeper.n_trials=2", "hydra.sweeper.timeout=1e-9")
    launch = FakeTrials(store, search, [])
    with pytest.raises(RunError, match="none of 0 trials was completed"):
        search.run(launch)
    assert launch.assigned == []


def test_a_study_names_the_command_that_goes_on_with_a_killed_search(open_it, store):
    search = open_it(*HERE, "hydra.sweeper.n_trials=3", "hydra/launcher=local_pool")
    search.run(FakeTrials(store, search, [[[0.5]], [[0.9]], [[0.7]]]))
    search.end("KILLED")
    (line,) = _describe_unfinished([search.parent.experiment_id], set())
    assert line.startswith(f"sweep {search.parent.run_id} is KILLED and has no list of its jobs; what may be missing: ")
    command = line.partition("missing: ")[2]
    assert command == search.command
    assert {"hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra/launcher=local_pool"} <= set(command.split())


def test_a_plan_tells_the_space_and_what_is_left(open_it, store, capsys):
    planned = (*HERE, "hydra.sweeper.n_trials=3", "plan=true")
    assert open_it(*planned) is None
    printed = capsys.readouterr().out
    assert "3 trials: 0 complete, 0 pruned, 0 failed, 0 resumed, 3 new\ntime: unknown" in printed
    assert store.get_experiment_by_name("x") is None
    search = open_it(*HERE, "hydra.sweeper.n_trials=3")
    search.coordinator.n_trials = 2
    search.run(FakeTrials(store, search, [[[0.5]], [[0.9]]]))
    search.end("FINISHED")
    capsys.readouterr()
    assert open_it(*planned) is None
    printed = capsys.readouterr().out
    assert "the space:\n  optimizer=sgd,adam\n  'reg=interval(0,1)'\n" in printed
    assert "3 trials: 2 complete, 0 pruned, 0 failed, 0 resumed, 1 new\ntime: about 0:" in printed
    assert "with 1 at a time, by the trials that have ended" in printed
    assert "included" not in printed


def test_the_time_of_a_plan_is_that_of_the_trials_that_are_left(open_it, store, capsys, monkeypatch):
    monkeypatch.setattr(plan, "estimate_seconds", lambda jobs, past: 30.0)
    search = open_it(*HERE, "hydra.sweeper.n_trials=2")
    planned = (*HERE, "hydra.sweeper.n_trials=10", "plan=true")
    assert open_it(*planned, "reg=interval(0,2)") is None
    assert "time: about 0:05:00 with 1 at a time, by the finished runs of these models" in capsys.readouterr().out
    search.run(FakeTrials(store, search, [[[0.5]], [[0.9]]]))
    search.end("FINISHED")
    monkeypatch.setattr(plan, "measure_seconds", lambda record: 60.0)
    assert open_it(*planned) is None
    assert "time: about 0:08:00 with 1 at a time, by the trials that have ended" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "choices",
    [
        ("hydra.sweeper.sampler=random", "hydra.sweeper.pruner=hyperband"),
        ("hydra.sweeper.sampler=qmc", "hydra.sweeper.pruner=hyperband"),
        ("hydra.sweeper.sampler=nsgaii", "evaluation.objective=[val_accuracy,n_parameters]"),
        ("hydra.sweeper.sampler=cmaes", "hydra.sweeper.pruner=median"),
    ],
    ids=" ".join,
)
def test_fifteen_trials_of_every_sampler_in_two_goes(tmp_path, run_command, choices):
    space = ("optimizer.learning_rate=tag(log,interval(1e-4,1))", "optimizer.momentum=interval(0,0.9)")
    for n_trials in (8, 15):
        done = run_command(tmp_path, *SEARCH, *space, *choices, "epochs=4", f"hydra.sweeper.n_trials={n_trials}")
        assert (done.returncode, done.stderr) == (0, "")
    runs = fetch(tmp_path, "train")
    assert sorted(int(run.data.tags["mnist_flow.trial"]) for run in runs) == list(range(15))
    assert len({run.data.params["optimizer.learning_rate"] for run in runs}) == 15
    assert len(fetch(tmp_path, "sweep")) == 1
    if "hyperband" in " ".join(choices):
        assert any("mnist_flow.pruned" in run.data.tags for run in runs)
