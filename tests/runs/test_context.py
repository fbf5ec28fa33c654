"""What a run is called and tagged, alone and in a sweep."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hydra.types import RunMode

from mnist_flow import tracking
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.loading import load_info
from mnist_flow.jobs.composition import list_replicates
from mnist_flow.runs.context import RunContext
from mnist_flow.runtime.environment import digest_code
from mnist_flow.tasks.generation import TASK as GENERATION


@pytest.fixture
def build_context(compose_config):
    def build(*overrides):
        composed = compose_config("data=digits", *overrides)
        (job,) = list_replicates(["data=digits", *overrides], validate_config(composed, TrainConfig))
        return RunContext(composed, job, load_info("digits"), splits=None, hydra=None)

    return build


@pytest.mark.parametrize(("mode", "in_sweep"), [(None, False), (RunMode.RUN, False), (RunMode.MULTIRUN, True)])
def test_a_job_of_hydras_sweeps_is_in_a_sweep(build_context, mode, in_sweep):
    hydra = None if mode is None else SimpleNamespace(mode=mode)
    assert replace(build_context(), hydra=hydra).in_sweep is in_sweep


@pytest.mark.parametrize(
    ("overrides", "varying", "name"),
    [
        ([], None, "mlp_500_300"),
        (["model=lenet5", "reg=1e-5", "epochs=3", "evaluation.misclassified=0"], None, "reg=1e-5 epochs=3 lenet5"),
        (["reg=1e-5", "tracking.run_name=mine"], None, "mine"),
        (["reg=1e-5", "epochs=3", "seed=2"], "reg,seed", "reg=1e-05 seed=2 mlp_500_300"),
        (["model=lenet5", "seed=2"], "model.name,seed", "model.name=lenet5 seed=2"),
        # Another job's option has this key.
        (["seed=2"], "schedule.factor,seed", "seed=2 mlp_500_300"),
    ],
)
def test_a_run_is_named_after_what_sets_it_apart(build_context, monkeypatch, overrides, varying, name):
    if varying is not None:
        monkeypatch.setenv(tracking.VARYING_VARIABLE, varying)
    assert build_context(*overrides).run_name == name


def test_the_tags_of_a_run_are_its_identity_code_and_data(build_context):
    context = build_context("reg=1e-5")
    identity = context.job.identity
    assert context.tags == {
        "mnist_flow.kind": "train",
        "mnist_flow.fingerprint": identity.fingerprint,
        "mnist_flow.group": identity.group,
        "mnist_flow.recipe": identity.recipe,
        "mnist_flow.code": digest_code(),
        "mnist_flow.data": load_info("digits").digest,
    }


def test_the_task_follows_from_the_model(build_context):
    assert build_context("model=cvae").task is GENERATION


def test_a_run_without_hydra_logs_its_config_and_what_was_typed(build_context):
    texts = build_context("reg=1e-5").describe_invocation()
    assert texts.keys() == {"config/config.yaml", "config/overrides.yaml"}
    assert "- reg=1e-5\n" in texts["config/overrides.yaml"]
    assert "reg: 1.0e-05\n" in texts["config/config.yaml"]
