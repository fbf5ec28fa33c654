import os
import subprocess
import sys

import pytest

from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError
from mnist_flow.jobs.identity import Identity, compute_fingerprint, identify
from mnist_flow.runtime.environment import count_cores
from support import command_environment

DIGEST = "06b0d1f124c4e5fa"


@pytest.fixture
def identify_overrides(compose_config):
    """overrides → the identity of the config that they make."""

    def identify_config(*overrides: str, digest: str = DIGEST) -> Identity:
        return identify(validate_config(compose_config(*overrides), TrainConfig), digest)

    return identify_config


def test_a_fingerprint_is_16_hex_digits_of_the_canonical_json():
    assert compute_fingerprint({"a": 1}) == "015abd7f5cc57a2d"
    assert compute_fingerprint({"a": 2}) != "015abd7f5cc57a2d"
    one, other = {"a": 1, "b": [0.1, None]}, {"b": [0.1, None], "a": 1}
    assert compute_fingerprint(one) == compute_fingerprint(other)


@pytest.mark.parametrize(
    "override",
    [
        "reg=1e-5",
        "seed=1",
        "epochs=11",
        "batch_size=127",
        "data=digits",
        "data.validation=test",
        "data.holdout_size=9999",
        "data.split_seed=1",
        "model=mlp_100",
        "model.hidden_units=[500,301]",
        "model.dropout=0.1",
        "optimizer=adam",
        "optimizer.learning_rate=0.11",
        "schedule=cosine",
        "noise=gaussian",
        "augmentation=shift",
        "training.precision=mixed_bfloat16",
        "training.threads=2",
        "training.monitor=val_accuracy",
        "training.early_stopping_patience=1",
        "training.keep_best_epoch=true",
        "training.ema_momentum=0.9",
        "training.label_smoothing=0.1",
        "training.class_weights=balanced",
    ],
)
def test_what_can_change_a_result_changes_the_fingerprint(identify_overrides, override):
    plain, changed = identify_overrides(), identify_overrides(override)
    assert changed.fingerprint != plain.fingerprint
    assert changed.recipe != plain.recipe


@pytest.mark.parametrize(
    "override",
    [
        "resume=false",
        "plan=true",
        "replicates=3",
        "tracking.experiment_name=other",
        "tracking.uri=http://127.0.0.1:5000",
        "tracking.run_name=mine",
        "tracking.log_model=false",
        "tracking.log_figures=false",
        "tracking.system_metrics=true",
        "tracking.patience=0",
        "tracking.undelivered_dir=elsewhere",
        "tracking.stale_after=3600",
        "tracking.changed_code=retrain",
        "tracking.rerun_of=a1b2",
        "evaluation.batch_size=7",
        "evaluation.objective=test_loss",
        "evaluation.misclassified=0",
        "data.path=/elsewhere/mnist.npz",
        "training.checkpoint_dir=null",
        "training.steps_per_execution=1",
    ],
)
def test_what_can_not_change_a_result_changes_no_name(identify_overrides, override):
    assert identify_overrides(override) == identify_overrides()


def test_a_key_that_came_later_is_a_param_only_where_it_is_set(compose_config):
    for value, is_param in (("null", False), ("balanced", True)):
        config = validate_config(compose_config(f"training.class_weights={value}"), TrainConfig)
        assert ("training.class_weights" in config.list_params()) is is_param


def test_the_data_is_part_of_the_fingerprint_and_the_group_but_not_of_the_recipe(identify_overrides):
    one, other = identify_overrides(digest=DIGEST), identify_overrides(digest="0000000000000000")
    assert one.fingerprint != other.fingerprint
    assert one.group != other.group
    assert one.recipe == other.recipe


def test_replicates_share_their_group_and_nothing_else(identify_overrides):
    one, other = identify_overrides("seed=0"), identify_overrides("seed=1")
    assert one.group == other.group
    assert one.fingerprint != other.fingerprint
    assert one.recipe != other.recipe
    assert identify_overrides("reg=1e-5").group != one.group


def test_the_three_names_of_a_run_differ(identify_overrides):
    names = identify_overrides()
    assert len({names.fingerprint, names.group, names.recipe}) == 3


def test_threads_that_are_not_given_are_the_cores_of_the_process(identify_overrides):
    given = identify_overrides(f"training.threads={count_cores()}")
    assert identify_overrides("training.threads=null") == given
    assert identify_overrides(f"training.threads={count_cores() + 1}") != given


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_the_cores_are_those_that_the_process_may_use():
    program = (
        "import os; from mnist_flow.runtime.environment import count_cores\n"
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1]); print(count_cores())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=command_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_folds_share_their_group_and_do_not_depend_on_the_size_of_a_holdout(identify_overrides):
    one = identify_overrides("data.folds=5", "data.fold=0")
    other = identify_overrides("data.folds=5", "data.fold=1", "seed=3")
    assert one.group == other.group != identify_overrides().group
    assert one.fingerprint != other.fingerprint
    assert one == identify_overrides("data.folds=5", "data.fold=0", "data.holdout_size=99")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.folds=1", "data.fold=0"], "data.folds=1: must be greater than or equal to 2"),
        (["data.folds=5"], "data.folds=5: data.fold must say which one is validated on, 0 to 4; all of them: -m "),
        (["data.fold=0"], "data.fold=0: is one of several folds; say how many: data.folds=5"),
        (["data.folds=5", "data.fold=5"], "data.fold=5: must be one of data.folds=5, 0 to 4"),
        (["data.folds=5", "data.fold=0", "data.validation=test"], "leave out data.validation=test"),
    ],
)
def test_folds_that_do_not_fit_are_refused(identify_overrides, overrides, message):
    with pytest.raises(ConfigError) as raised:
        identify_overrides(*overrides)
    assert message in str(raised.value)
