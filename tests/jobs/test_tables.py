import math

import numpy as np
import pandas as pd
import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.identity import identify
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.jobs.tables import (
    build_grid,
    build_replicates,
    build_run_table,
    build_summary,
    find_telling,
    find_varying,
    label_jobs,
    read_results,
)
from mnist_flow.tracking import PastRun


@pytest.fixture
def make_jobs(compose_config):
    """Several lists of overrides → jobs on the digits."""

    def make(*several):
        jobs = []
        for overrides in several:
            config = validate_config(compose_config("data=digits", *overrides), TrainConfig)
            jobs.append(Job(tuple(overrides), config, identify(config, "digest"), "digest", config.list_params()))
        return jobs

    return make


def plan_of(job, run_id=None, state="finished", **metrics):
    if run_id is None:
        return PlannedJob(job, "new", None)
    run = PastRun(run_id, state, job.identity.fingerprint, "", "", "", "/-/0/0", "", 0, 0.0, metrics, {})
    return PlannedJob(job, state, run)


# Results


def test_the_results_are_those_of_the_selected_epoch():
    metrics = {
        "loss": 0.1,
        "val_loss": 0.9,
        "val_accuracy": 0.8,
        "selected_loss": 0.2,
        "selected_val_loss": 0.3,
        "selected_val_accuracy": 0.95,
        "selected_epoch": 3.0,
        "test_accuracy": 0.94,
        "learning_rate": 0.1,
        "system/cpu_utilization_percentage": 99.0,
    }
    assert read_results(metrics) == {
        "val_accuracy": 0.95,
        "val_loss": 0.3,
        "test_accuracy": 0.94,
        "loss": 0.2,
        "selected_epoch": 3.0,
    }


def test_without_a_selected_epoch_the_results_are_the_last_ones():
    assert read_results({"val_loss": 0.9, "accuracy": 0.8}) == {"val_loss": 0.9, "accuracy": 0.8}


# Runs


def make_run(run_id, fingerprint="", params=None, metrics=None, parent_run_id="", experiment_id="1"):
    return PastRun(
        *(run_id, "finished", fingerprint, "", parent_run_id, "", "/-/0/0", "", 0, 0.0, metrics or {}, params or {}),
        experiment_id=experiment_id,
        group=fingerprint.upper(),
    )


@pytest.fixture
def runs():
    """Three runs, the oldest first; the newest repeats the oldest."""
    common = {"seed": "0", "model.name": "mlp_100", "model.hidden_units": "[100]"}
    momentum = {"optimizer.momentum": "0.9", "training.early_stopping_patience": "3"}
    return [
        make_run("oldest", "a", {"reg": "1e-6", **common, **momentum}, {"test_accuracy": 0.96}, "sweep"),
        make_run("middle", "b", {"training.early_stopping_patience": "None", **common, "reg": "0.0001"}),
        make_run("newest", "a", {**common, **momentum, "reg": "1e-06"}, {"test_accuracy": 0.98}, "sweep"),
    ]


def test_of_runs_with_the_same_fingerprint_the_last_is_kept(runs):
    table = build_run_table(runs, {"1": "demo"})
    assert table["run_id"].tolist() == ["middle", "newest"]
    assert table.index.tolist() == [0, 1]
    assert build_run_table(runs[1::-1], {"1": "demo"})["run_id"].tolist() == ["middle", "oldest"]


def test_the_same_fingerprint_in_another_experiment_is_another_run():
    both = [make_run("one", "a"), make_run("two", "a", experiment_id="2"), make_run("three"), make_run("four")]
    table = build_run_table(both, {"1": "first", "2": "second"})
    assert table["experiment"].tolist() == ["first", "second", "first", "first"]
    assert table["experiment_id"].tolist() == ["1", "2", "1", "1"]


def test_the_columns_of_runs_are_config_paths_and_metric_names_in_their_own_order(runs):
    assert list(build_run_table(runs, {"1": "demo"})) == [
        *("run_id", "experiment", "experiment_id", "group", "parent_run_id", "model.hidden_units", "model.name"),
        *("optimizer.momentum", "reg", "seed", "training.early_stopping_patience", "test_accuracy"),
    ]


def test_texts_that_are_numbers_become_numbers(runs):
    table = build_run_table(runs, {"1": "demo"})
    assert table["reg"].tolist() == [1e-4, 1e-6]
    assert table["seed"].tolist() == [0, 0]
    np.testing.assert_array_equal(table["optimizer.momentum"], [np.nan, 0.9])
    np.testing.assert_array_equal(table["test_accuracy"], [np.nan, 0.98])
    assert table["model.hidden_units"].tolist() == ["[100]", "[100]"]
    assert table["training.early_stopping_patience"].tolist() == ["None", "3"]


def test_metrics_of_runs_are_those_of_the_selected_epoch():
    metrics = {"val_loss": 0.9, "selected_val_loss": 0.3, "selected_epoch": 3.0}
    table = build_run_table([make_run("a", metrics=metrics), make_run("b", metrics={"val_loss": 0.5})], {"1": "demo"})
    assert table["val_loss"].tolist() == [0.3, 0.5]
    np.testing.assert_array_equal(table["selected_epoch"], [3.0, np.nan])
    assert "selected_val_loss" not in table


def test_sweep_and_group_of_each_run(runs):
    table = build_run_table(runs, {"1": "demo"})
    assert table["group"].tolist() == ["B", "A"]
    assert table["parent_run_id"].fillna("none").tolist() == ["none", "sweep"]


def test_without_runs_the_table_has_its_columns():
    assert list(build_run_table([], {})) == ["run_id", "experiment", "experiment_id", "group", "parent_run_id"]


# What varies


def test_the_seed_comes_last_among_what_varies(make_jobs):
    jobs = make_jobs(["seed=0", "reg=0"], ["seed=1", "reg=1e-5"])
    assert find_varying(jobs) == ["reg", "seed"]


def test_what_says_nothing_of_the_result_does_not_vary(make_jobs):
    jobs = make_jobs(
        ["tracking.run_name=a", "evaluation.batch_size=7", "replicates=2", "training.checkpoint_dir=a", "epochs=1"],
        [
            "tracking.run_name=b",
            "evaluation.batch_size=8",
            "replicates=3",
            "training.steps_per_execution=1",
            "epochs=2",
        ],
        ["resume=false", "plan=true", "epochs=3"],
    )
    assert find_varying(jobs) == ["epochs"]


def test_a_key_that_only_some_jobs_have_varies(make_jobs):
    varying = find_varying(make_jobs(["optimizer=sgd"], ["optimizer=adam"]))
    assert varying == [
        "optimizer.name",
        "optimizer.learning_rate",
        "optimizer.momentum",
        "optimizer.nesterov",
        "optimizer.beta_1",
        "optimizer.beta_2",
    ]


def test_one_job_varies_in_nothing(make_jobs):
    assert find_varying(make_jobs(["reg=1e-5"])) == []


def test_what_follows_from_the_name_of_a_model_does_not_tell_jobs_apart(make_jobs):
    jobs = make_jobs(["model=mlp_100", "reg=0"], ["model=lenet5", "reg=0"])
    assert "model.hidden_units" in find_varying(jobs)
    assert find_telling(jobs) == ["model.name"]
    assert sorted(label_jobs(jobs).values()) == ["model.name=lenet5", "model.name=mlp_100"]
    wider = make_jobs(["model=mlp_100"], ["model=mlp_100", "model.hidden_units=[20]"], ["model=mlp_64_64"])
    assert find_telling(wider) == ["model.name", "model.hidden_units"]
    # As it is with zip='[model,model.dropout]'.
    typed = make_jobs(["model=mlp_100", "model.dropout=0.2"], ["model=mlp_64_64", "model.dropout=0.5"])
    assert find_telling(typed) == ["model.name", "model.dropout"]


def test_what_follows_from_the_name_of_another_option_does_not_tell_jobs_apart_either(make_jobs):
    jobs = make_jobs(["noise=none"], ["noise=salt_and_pepper"])
    assert {"noise.level", "noise.redraw"} < set(find_varying(jobs))
    assert find_telling(jobs) == ["noise.name"]
    wider = make_jobs(["noise=none"], ["noise=salt_and_pepper"], ["noise=salt_and_pepper", "noise.level=0.2"])
    assert find_telling(wider) == ["noise.name", "noise.level"]


def test_a_key_that_several_options_have_tells_jobs_apart_also_where_it_goes_with_their_names(make_jobs):
    """As it does with zip='[optimizer,optimizer.learning_rate]'."""
    jobs = make_jobs(
        ["optimizer=sgd", "optimizer.learning_rate=0.5"], ["optimizer=adam", "optimizer.learning_rate=0.01"]
    )
    assert find_telling(jobs) == ["optimizer.name", "optimizer.learning_rate"]
    assert sorted(label_jobs(jobs).values()) == [
        "optimizer.name=adam optimizer.learning_rate=0.01",
        "optimizer.name=sgd optimizer.learning_rate=0.5",
    ]
    holdouts = make_jobs(["data=digits", "data.validation=test"], ["data=letters", "data.validation=holdout"])
    assert find_telling(holdouts) == ["data.name", "data.validation", "data.holdout_size"]


def test_jobs_are_labelled_by_what_varies(make_jobs):
    jobs = make_jobs(["reg=0"], ["reg=1e-5"], ["reg=1e-5", "seed=4"])
    assert [label_jobs(jobs)[job.identity.fingerprint] for job in jobs] == [
        "reg=0.0 seed=0",
        "reg=1e-05 seed=0",
        "reg=1e-05 seed=4",
    ]


def test_a_job_alone_is_labelled_by_its_model(make_jobs):
    jobs = make_jobs(["model=mlp_100"])
    assert list(label_jobs(jobs).values()) == ["mlp_100"]


def test_a_label_leaves_out_what_the_job_does_not_have(make_jobs):
    jobs = make_jobs(["optimizer=sgd"], ["optimizer=sgd", "optimizer.momentum=0.9"], ["optimizer=adam"])
    assert [label_jobs(jobs)[job.identity.fingerprint] for job in jobs] == [
        "optimizer.name=sgd optimizer.learning_rate=0.1 optimizer.momentum=0.0",
        "optimizer.name=sgd optimizer.learning_rate=0.1 optimizer.momentum=0.9",
        "optimizer.name=adam optimizer.learning_rate=0.001",
    ]


def test_the_grid_has_a_row_a_job(make_jobs):
    jobs = make_jobs(["model.hidden_units=[3,4]", "seed=1"], ["model.hidden_units=[]", "seed=2"])
    expected = pd.DataFrame(
        {
            "job": [0, 1],
            "model.hidden_units": ["[3, 4]", "[]"],
            "seed": [1, 2],
            "fingerprint": [job.identity.fingerprint for job in jobs],
        }
    )
    pd.testing.assert_frame_equal(build_grid(jobs), expected)


# The summary


def test_the_summary_has_a_row_a_job_with_its_outcome_and_results(make_jobs):
    jobs = make_jobs(["reg=0", "seed=0"], ["reg=0", "seed=1"], ["reg=1e-5"], ["reg=1e-4"])
    planned = [
        plan_of(jobs[0], "a", val_accuracy=0.5, selected_val_accuracy=0.9, test_accuracy=0.8, learning_rate=0.1),
        plan_of(jobs[1], "b", val_accuracy=0.7, test_accuracy=0.6),
        plan_of(jobs[2], "c", state="interrupted", val_accuracy=0.1),
        plan_of(jobs[3]),
    ]
    expected = pd.DataFrame(
        {
            "reg": [0.0, 0.0, 1e-5, 1e-4],
            "seed": [0, 1, 0, 0],
            "outcome": ["skipped", "new", "failed", "missing"],
            "val_accuracy": [0.9, 0.7, math.nan, math.nan],
            "test_accuracy": [0.8, 0.6, math.nan, math.nan],
            "run_id": ["a", "b", "c", None],
            "group": [job.identity.group for job in jobs],
        }
    )
    pd.testing.assert_frame_equal(build_summary(planned, ["skipped", "new", "failed", "missing"]), expected)


def test_a_sweep_of_which_nothing_is_finished_has_a_summary_without_results(make_jobs):
    jobs = make_jobs(["reg=0"], ["reg=1e-5"])
    summary = build_summary([plan_of(jobs[0], "a", state="interrupted"), plan_of(jobs[1])], ["failed", "missing"])
    assert list(summary.columns) == ["reg", "outcome", "run_id", "group"]
    assert build_replicates(summary).empty


# Replicates


def summary_of(*rows):
    return pd.DataFrame(rows, columns=["reg", "seed", "outcome", "val_accuracy", "run_id", "group"])


def test_replicates_have_mean_sample_standard_deviation_and_standard_error():
    summary = summary_of(
        (0.0, 0, "new", 0.90, "a", "G0"),
        (1e-5, 0, "new", 0.50, "d", "G1"),
        (0.0, 1, "resumed", 0.92, "b", "G0"),
        (0.0, 2, "skipped", 0.97, "c", "G0"),
        (1e-5, 1, "new", 0.70, "e", "G1"),
    )
    expected = pd.DataFrame(
        {
            "reg": [0.0, 1e-5],
            "n": [3, 2],
            "val_accuracy_mean": [0.93, 0.6],
            # √((0.03² + 0.01² + 0.04²) / 2) and √((0.1² + 0.1²) / 1)
            "val_accuracy_std": [0.0360555127546399, 0.141421356237310],
            # those over √3 and √2
            "val_accuracy_sem": [0.0208166599946613, 0.1],
            "group": ["G0", "G1"],
        }
    )
    pd.testing.assert_frame_equal(build_replicates(summary), expected, rtol=1e-12)


def test_replicates_stand_in_the_order_of_their_jobs():
    summary = summary_of((1e-5, 0, "new", 0.5, "a", "G1"), (0.0, 0, "new", 0.9, "b", "G0"))
    assert build_replicates(summary)["reg"].tolist() == [1e-5, 0.0]


def test_the_spread_of_one_run_is_unknown():
    (row,) = build_replicates(summary_of((0.0, 0, "new", 0.9, "a", "G0"))).to_dict("records")
    assert (row["n"], row["val_accuracy_mean"]) == (1, 0.9)
    assert math.isnan(row["val_accuracy_std"])
    assert math.isnan(row["val_accuracy_sem"])


def test_a_run_that_two_jobs_share_counts_once():
    summary = summary_of(
        (0.0, 0, "new", 0.9, "a", "G0"), (0.0, 0, "new", 0.9, "a", "G0"), (0.0, 1, "new", 0.7, "b", "G0")
    )
    (row,) = build_replicates(summary).to_dict("records")
    assert row["n"] == 2
    assert row["val_accuracy_mean"] == pytest.approx(0.8)


def test_jobs_that_failed_or_are_missing_are_left_out():
    summary = summary_of(
        (0.0, 0, "new", 0.9, "a", "G0"),
        (0.0, 1, "failed", None, "b", "G0"),
        (0.0, 2, "missing", None, None, "G0"),
        (0.0, 3, "missing", None, "c", "G0"),
        (1e-5, 0, "failed", None, "d", "G1"),
    )
    (row,) = build_replicates(summary).to_dict("records")
    assert (row["group"], row["n"], row["val_accuracy_mean"]) == ("G0", 1, 0.9)


def test_a_sweep_over_seeds_alone_has_one_group(make_jobs):
    jobs = make_jobs(["seed=0"], ["seed=1"])
    planned = [plan_of(jobs[0], "a", test_loss=1.0), plan_of(jobs[1], "b", test_loss=3.0)]
    replicates = build_replicates(build_summary(planned, ["new", "new"]))
    assert list(replicates.columns) == ["n", "test_loss_mean", "test_loss_std", "test_loss_sem", "group"]
    assert replicates.iloc[0].to_list() == pytest.approx([2, 2.0, math.sqrt(2), 1.0, jobs[0].identity.group])


def test_folds_have_a_mean_and_a_spread_of_their_own(make_jobs):
    folds = ["data.folds=2", "epochs=1"]
    jobs = make_jobs(*([*folds, f"data.fold={fold}", f"seed={seed}"] for fold in (0, 1) for seed in (0, 1)))
    assert find_varying(jobs) == ["data.fold", "seed"]
    results = (0.5, 0.7, 0.7, 0.9)
    planned = [
        plan_of(job, f"run{i}", test_accuracy=one) for i, (job, one) in enumerate(zip(jobs, results, strict=True))
    ]
    (row,) = build_replicates(build_summary(planned, ["new"] * 4)).to_dict("records")
    assert (row["n"], row["replicates"]) == (2, "2 seeds × 2 folds")
    np.testing.assert_allclose([row["test_accuracy_mean"], row["test_accuracy_std"]], [0.7, 0.14142136])
    assert not {"data.fold", "seed"} & set(row)
