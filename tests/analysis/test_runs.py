import numpy as np
import pandas as pd
import pytest

from mnist_flow.analysis.runs import label_settings, list_metrics, list_params


def make_table(**columns: list) -> pd.DataFrame:
    """A table of two runs."""
    return pd.DataFrame(
        {
            "run_id": ["a", "b"],
            "group": ["A", "B"],
            "parent_run_id": [None, "p"],
            "model.name": ["mlp", "mlp"],
            "reg": [0.0, 0.1],
            "seed": [0, 1],
            "epochs": [10, 10],
            "test_accuracy": [0.9, 0.8],
            "fit_seconds": [1.0, 2.0],
            **columns,
        }
    )


def test_metrics_are_told_from_params():
    table = make_table(**{"tracking.run_name": ["a", "b"], "selected_epoch": [3, 4]})
    assert list_metrics(table) == ["test_accuracy", "fit_seconds", "selected_epoch"]
    assert list_params(table) == ["model.name", "reg", "seed", "epochs"]


@pytest.mark.parametrize(
    ("columns", "labels"),
    [
        ({}, ["mlp", "mlp"]),
        ({"epochs": [10, 20]}, ["mlp, epochs=10", "mlp, epochs=20"]),
        ({"model.name": ["mlp_100", "lenet5"]}, ["mlp_100", "lenet5"]),
        ({"model.name": ["a", "b"], "epochs": [10, 20]}, ["a, epochs=10", "b, epochs=20"]),
        ({"optimizer.momentum": [0.9, np.nan]}, ["mlp, optimizer.momentum=0.9", "mlp"]),
        # Runs with folds beside runs without, which the table holds as 5.0 and NaN.
        ({"data.folds": [5.0, np.nan]}, ["mlp, data.folds=5", "mlp"]),
        ({"noise.name": ["none", "gaussian"]}, ["mlp, noise.name=none", "mlp, noise.name=gaussian"]),
        # What an option determines is in its name; what its runs don't have, or have as null, is not told.
        (
            {
                "noise.level": [np.nan, "0.4"],
                "noise.min_level": [np.nan, "None"],
                "noise.name": ["none", "salt_and_pepper"],
                "noise.redraw": [np.nan, "True"],
            },
            ["mlp, noise.name=none", "mlp, noise.name=salt_and_pepper"],
        ),
        (
            {"noise.level": [0.2, 0.4], "noise.min_level": ["None", "0.1"], "noise.name": ["salt_and_pepper"] * 2},
            ["mlp, noise.level=0.2", "mlp, noise.level=0.4, noise.min_level=0.1"],
        ),
        (
            {"optimizer.learning_rate": [0.5, 0.01], "optimizer.name": ["sgd", "adam"]},
            [
                "mlp, optimizer.name=sgd, optimizer.learning_rate=0.5",
                "mlp, optimizer.name=adam, optimizer.learning_rate=0.01",
            ],
        ),
        # What the preset of the model determines is in its name.
        ({"model.name": ["a", "b"], "model.pooling": ["max", "average"]}, ["a", "b"]),
    ],
)
def test_labels_tell_settings_apart(columns, labels):
    assert label_settings(make_table(**columns), apart_from=("reg", "seed")).tolist() == labels


@pytest.mark.parametrize(
    "name",
    [
        *("data.path", "tracking.run_name", "tracking.uri", "evaluation.batch_size", "training.steps_per_execution"),
        *("val_loss", "test_loss", "loss", "accuracy", "learning_rate", "selected_epoch", "n_parameters"),
        *("test_psnr_at_level_0.4", "test_ssim_at_level_0.4"),
    ],
)
def test_labels_leave_out_results_and_what_does_not_change_them(name):
    labels = label_settings(make_table(**{name: ["1", "2"]}), apart_from=("reg", "seed"))
    assert labels.tolist() == ["mlp", "mlp"]


def test_labels_leave_out_what_the_caller_names():
    table = make_table()
    assert label_settings(table, apart_from=("seed",)).tolist() == ["mlp, reg=0", "mlp, reg=0.1"]
    assert label_settings(table, apart_from=("reg",)).tolist() == ["mlp, seed=0", "mlp, seed=1"]


def test_an_option_stands_before_the_keys_in_which_its_own_runs_differ():
    table = pd.DataFrame(
        {
            "model.name": "mlp",
            "noise.level": [0.2, 0.4, np.nan, np.nan],
            "noise.name": ["salt_and_pepper", "salt_and_pepper", "gaussian", "none"],
            "noise.redraw": ["True", "True", "False", np.nan],
        }
    )
    assert label_settings(table, apart_from=()).tolist() == [
        "mlp, noise.name=salt_and_pepper, noise.level=0.2, noise.redraw=True",
        "mlp, noise.name=salt_and_pepper, noise.level=0.4, noise.redraw=True",
        "mlp, noise.name=gaussian, noise.redraw=False",
        "mlp, noise.name=none",
    ]


# analysis takes them for replicates.
@pytest.mark.parametrize(
    ("name", "values"), [("model.hidden_units", ["[100]", "[200]"]), ("model.dropout", [0.25, 0.5])]
)
def test_labels_tell_overridden_models_apart(name, values):
    labels = label_settings(make_table(**{name: values}), apart_from=("reg", "seed"))
    assert labels.tolist() == [f"mlp, {name}={value}" for value in values]


def test_the_qualities_of_a_denoiser_are_no_settings():
    """Else no two of its runs would be replicates."""
    table = pd.DataFrame(
        {"model.name": ["ae", "ae"], "test_psnr_at_level_0.4": [1.0, 2.0], "test_ssim_at_stddev_1": [0.1, 0.2]}
    )
    assert label_settings(table, apart_from=()).tolist() == ["ae", "ae"]
