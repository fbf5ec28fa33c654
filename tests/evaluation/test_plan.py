"""Which evaluations are planned, and which of them count as done."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mnist_flow import CONF_DIR, tracking
from mnist_flow.config.evaluate import EvaluateConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.errors import ConfigError
from mnist_flow.evaluation.measurement import _label
from mnist_flow.evaluation.plan import Evaluation, plan_evaluations
from mnist_flow.tracking import LoggedRun

PART = Images(np.zeros((2, 9, 9, 1), np.float32), np.array([0, 1]))
DATA = DataSet("digits", "here", "0123456789abcdef", (9, 9, 1), ("a", "b"), PART, PART)
RUN = LoggedRun("r", "name", "1", "m", "", {"data.name": "digits", "seed": "0"}, {})


def read_config(*overrides: str) -> EvaluateConfig:
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return validate_config(compose("evaluate", list(overrides)), EvaluateConfig)


def plan(name: str, *overrides: str, **partners: LoggedRun) -> Evaluation:
    config = read_config(f"measure={name}", *(f"measure.{name}.{one}" for one in overrides))
    return Evaluation(RUN, DATA, name, dict(config.measure)[name], partners)


def test_logged_evaluations_stay_known():
    """Fingerprints as they are logged, of the measures' defaults."""
    assert plan("shift").fingerprint == "c794fae271d8019f"
    assert plan("denoising", denoiser=replace(RUN, run_id="d")).fingerprint == "2b9f13304ec1adb9"
    assert plan("synthesis", judge=replace(RUN, run_id="j")).fingerprint == "d349054823b4a058"


def test_what_makes_another_evaluation():
    denoiser = replace(RUN, run_id="d")
    usual = plan("denoising", denoiser=denoiser)
    others = [
        replace(usual, run=replace(RUN, run_id="another")),
        replace(usual, data_set=replace(DATA, digest="another")),
        replace(usual, measure="another"),
        replace(usual, partners={"denoiser": replace(RUN, run_id="another")}),
        plan("denoising", "draws=2", denoiser=denoiser),
    ]
    assert len({one.fingerprint for one in [usual, *others]}) == 6
    # Who takes part counts, not how it was chosen.
    assert plan("denoising", "denoiser.choose=best", denoiser=denoiser).fingerprint == usual.fingerprint


@pytest.fixture
def earlier(monkeypatch):
    """Earlier evaluations of the run's shifts in the store, which the test fills."""
    runs = []
    monkeypatch.setattr(tracking, "fetch_past_runs", lambda experiment_id, stale_after, kind: runs)
    monkeypatch.setattr("mnist_flow.evaluation.plan.load_data_set", lambda name, path, module, options: DATA)
    monkeypatch.setattr("mnist_flow.evaluation.plan.digest_code", lambda kind: "ours")
    return runs


def make_past(run_id: str, state: str, code: str = "ours") -> SimpleNamespace:
    fingerprint = plan("shift").fingerprint
    return SimpleNamespace(run_id=run_id, state=state, fingerprint=fingerprint, code=code, process="")


@pytest.mark.parametrize(
    ("states", "done"),
    [([], None), (["finished"], "0"), (["finished", "finished"], "1"), (["finished", "interrupted"], "0")],
)
def test_the_newest_finished_evaluation_counts(earlier, states, done):
    earlier += [make_past(str(number), state) for number, state in enumerate(states)]
    (evaluation,), troubles = plan_evaluations(read_config("measure=shift"), [RUN])
    assert (evaluation.earlier and evaluation.earlier.run_id, troubles) == (done, [])


def test_options_of_a_data_set_are_read_from_the_config_of_one_of_its_runs(earlier, monkeypatch, compose_config):
    asked, loaded = [], []
    logged = {"data": {**OmegaConf.to_container(compose_config("data=files").data), "test_fraction": 0.5, "gone": 1}}
    monkeypatch.setattr("mnist_flow.tracking.fetch_config", lambda run_id: (asked.append(run_id), logged)[1])
    monkeypatch.setattr("mnist_flow.evaluation.plan.load_data_set", lambda *source: (loaded.append(source), DATA)[1])
    params = {"data.name": "files", "data.path": "here", "data.test_fraction": "0.5", "seed": "0"}
    evaluations, _ = plan_evaluations(
        read_config("measure=shift"), [replace(RUN, run_id=one, params=params) for one in "ab"]
    )
    assert (len(evaluations), len(asked)) == (2, 1)
    assert loaded == [("files", "here", None, {"test_fraction": 0.5, "test_seed": 0})]


def test_what_asks_too_much_of_the_images_is_refused_before_anything_is_measured(earlier):
    with pytest.raises(ConfigError, match=r"^measure\.shift\.max_pixels=9: must be at most 8"):
        plan_evaluations(read_config("measure=[rotation,shift]", "measure.shift.max_pixels=9"), [RUN])


@pytest.mark.parametrize(
    ("params", "label"),
    [
        ({}, "runs"),
        ({"noise.level": "0.4"}, "runs, level 0.4"),
        ({"noise.level": "1.0", "noise.min_level": "0.25"}, "runs, level 0.25 to 1"),
        ({"noise.stddev": "0.5", "noise.min_stddev": "None"}, "runs, stddev 0.5"),
    ],
)
def test_a_model_is_named_after_its_experiment_and_noise(params, label):
    assert _label("runs", params) == label
