import math

import pandas as pd
import pytest

from mnist_flow.analysis.selection import build_selection, choose_metric
from mnist_flow.errors import ConfigError


def make_runs(*settings: tuple[float, list[tuple[float, float]]], experiment: str = "twin") -> pd.DataFrame:
    """Runs with held-out images: for each reg the validation and test accuracies of its seeds."""
    return pd.DataFrame(
        [
            {
                "run_id": f"{reg}-{seed}",
                "experiment": experiment,
                "experiment_id": "1",
                "group": f"group {reg}",
                "model.name": "mlp_100",
                "data.validation": "holdout",
                "reg": reg,
                "seed": seed,
                "val_accuracy": validation,
                "test_accuracy": test,
            }
            for reg, accuracies in settings
            for seed, (validation, test) in enumerate(accuracies)
        ]
    )


def test_the_best_on_held_out_images_is_chosen():
    runs = make_runs((0.0, [(0.97, 0.96), (0.97, 0.98)]), (0.1, [(0.96, 0.98), (0.96, 0.98)]))
    (row,) = build_selection(runs).to_dict("records")
    assert list(row)[:7] == ["experiment", "setting", "settings", "complete", "n", "val_accuracy", "mean"]
    assert (row["setting"], row["settings"], row["complete"], row["n"]) == ("mlp_100, reg=0", 2, 2, 2)
    assert (row["val_accuracy"], row["mean"]) == (pytest.approx(0.97), pytest.approx(0.97))
    assert row["std"] == pytest.approx(0.01 * 2**0.5)
    assert (row["best_on_test"], row["best_on_test_mean"]) == ("mlp_100, reg=0.1", pytest.approx(0.98))


def test_a_setting_that_lacks_seeds_is_not_chosen():
    luck = [(0.99, 0.99)]
    runs = make_runs((0.0, [(0.97, 0.97)] * 3), (0.1, [(0.96, 0.98)] * 3), (0.2, luck))
    (row,) = build_selection(runs).to_dict("records")
    assert (row["setting"], row["settings"], row["complete"], row["n"]) == ("mlp_100, reg=0", 3, 2, 3)
    assert (row["best_on_test"], row["best_on_test_mean"]) == ("mlp_100, reg=0.1", pytest.approx(0.98))


def test_runs_without_validation_accuracy_do_not_count():
    runs = make_runs((0.0, [(0.97, 0.97)] * 2), (0.1, [(0.96, 0.98)] * 2), (0.2, [(0.99, 0.99), (math.nan, 0.99)]))
    (row,) = build_selection(runs).to_dict("records")
    assert (row["setting"], row["settings"], row["complete"], row["n"]) == ("mlp_100, reg=0", 3, 2, 2)


def test_without_any_validation_accuracy_nothing_is_chosen():
    nothing = [(math.nan, 0.97)] * 2
    assert build_selection(make_runs((0.0, nothing), (0.1, nothing))).empty
    some = make_runs((0.0, [(0.97, 0.97)]), (0.1, [(0.96, 0.98)]), experiment="other")
    both = pd.concat([make_runs((0.0, nothing), (0.1, nothing)), some], ignore_index=True)
    assert build_selection(both)["experiment"].tolist() == ["other"]


def test_one_setting_is_no_choice():
    runs = make_runs((0.0, [(0.97, 0.97)] * 2))
    assert build_selection(runs).empty
    (row,) = build_selection(runs, min_settings=1).to_dict("records")
    assert (row["setting"], row["settings"], row["n"], row["best_on_test"]) == ("mlp_100", 1, 2, "mlp_100")


def test_autoencoders_are_chosen_by_the_smallest_validation_loss():
    runs = make_runs((0.0, [(0.3, 0.1), (0.3, 0.2)]), (0.1, [(0.2, 0.4), (0.2, 0.2)]), (0.2, [(0.4, 0.5)] * 2))
    runs = runs.rename(columns={"val_accuracy": "val_loss", "test_accuracy": "test_loss"})
    (row,) = build_selection(runs).to_dict("records")
    assert (row["setting"], row["val_loss"], row["mean"]) == (
        "mlp_100, reg=0.1",
        pytest.approx(0.2),
        pytest.approx(0.3),
    )
    assert (row["best_on_test"], row["best_on_test_mean"]) == ("mlp_100, reg=0", pytest.approx(0.15))
    assert "val_accuracy" not in row


def test_settings_are_compared_by_what_was_asked_for_or_by_the_images_that_were_held_out():
    runs = make_runs((0.0, [(0.97, 0.96)]))
    assert choose_metric(runs, None) == "val_accuracy"
    assert choose_metric(runs, "test_accuracy") == "test_accuracy"
    both = pd.concat([runs, runs.assign(**{"data.validation": "test"})])
    assert choose_metric(both, None) == "test_accuracy"
    assert choose_metric(both.tail(1), None) == "test_accuracy"
    # Autoencoders have no accuracy, and among classifiers they do not count.
    images = runs.drop(columns=["val_accuracy", "test_accuracy"]).assign(val_loss=0.1, test_loss=0.2)
    assert choose_metric(images, None) == "val_loss"
    assert choose_metric(images.assign(**{"data.validation": "test"}), None) == "test_loss"
    assert choose_metric(pd.concat([runs, images]), None) == "val_accuracy"
    assert choose_metric(pd.concat([runs, images.assign(**{"data.validation": "test"})]), None) == "val_accuracy"
    with pytest.raises(ConfigError, match=r"study\.metric=val_loss: the runs have no such metric"):
        choose_metric(images.drop(columns=["val_loss"]), None)
    with pytest.raises(ConfigError, match=r"study\.metric=accuracies: the runs have no such metric"):
        choose_metric(runs, "accuracies")
