"""What is run for a part, and what its page is made of, without training anything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from mnist_flow import CONF_DIR
from mnist_flow.config.presets import load_preset
from mnist_flow.config.reproduce import EvaluationStep, ReproduceConfig, StudyStep
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError, RunError, TrackingError
from mnist_flow.jobs.composition import Job
from mnist_flow.jobs.identity import identify
from mnist_flow.jobs.plan import PlannedJob
from mnist_flow.reproduction import orchestrator
from mnist_flow.tracking import PastRun

pytestmark = pytest.mark.usefixtures("output")

NAME = "learning_rate_holdout"


@pytest.fixture
def plan_job(compose_config):
    """A finished run of the preset with a learning rate, seed and accuracy, or for None a job without a run."""

    def plan(rate: float, seed: int, accuracy: float | None) -> PlannedJob:
        overrides = [f"optimizer.learning_rate={rate}", f"seed={seed}"]
        preset = compose_config(f"experiment={NAME}")
        config = validate_config(OmegaConf.merge(preset, OmegaConf.from_dotlist(overrides)), TrainConfig)
        identity = identify(config, "digest")
        job = Job(tuple(overrides), config, identity, "digest", config.list_params())
        if accuracy is None:
            return PlannedJob(job, "new", None)
        metrics = {"test_accuracy": accuracy - 0.01, "val_accuracy": 0.5, "selected_val_accuracy": accuracy}
        run = PastRun(
            *(f"run {rate} {seed}", "finished", identity.fingerprint, identity.recipe, "", "", "/-/0/0", "", 0, 9.0),
            metrics | {"fit_seconds": 5.0},
            {key: str(value) for key, value in job.params.items()},
            experiment_id="1",
            group=identity.group,
        )
        return PlannedJob(job, "finished", run, other_code=seed == 1)

    return plan


@pytest.fixture
def build_page(compose_config, monkeypatch):
    """Planned jobs and overrides → the page of a part with the preset alone; nothing is asked of a server or drawn."""
    monkeypatch.setattr("mnist_flow.tracking.build_run_link", lambda pages, experiment, run: f"{experiment}/{run}")
    machine = json.dumps({"processor": "Abacus 9"})
    monkeypatch.setattr("mnist_flow.tracking.fetch_texts", lambda run_ids, _: [(run_id, machine) for run_id in run_ids])
    monkeypatch.setattr(orchestrator, "_draw", lambda *_: {})

    def build(planned, overrides=(), part="holdout", others=(), presets="all"):
        config = validate_config(compose_config(config_name="reproduce"), ReproduceConfig)
        config = config.model_copy(update={"overrides": list(overrides), "presets": presets})
        states = [orchestrator._State(load_preset(name), None, []) for name in others]
        states.append(orchestrator._State(load_preset(NAME), "1", planned))
        return orchestrator._build_page(config, part, states, {})

    return build


def test_a_page_holds_what_the_runs_of_its_presets_gave(plan_job, build_page):
    page = build_page([plan_job(rate, seed, 0.9 + rate / 10) for rate in (0.1, 0.5) for seed in (0, 1)])
    assert (page.part, page.file, len(page.runs), page.computing_seconds) == ("holdout", "HOLDOUT.md", 4, 20)
    assert page.template == "holdout"
    assert (page.processors, page.precisions, page.n_other_code) == (["Abacus 9"], ["float32"], 2)
    assert page.links["run 0.5 1"] == "1/run 0.5 1"
    (chosen,) = page.selections.to_dict("records")
    assert (chosen["setting"], chosen["settings"], chosen["n"]) == ("mlp_100, optimizer.learning_rate=0.5", 2, 2)
    assert (chosen["val_accuracy"], chosen["mean"]) == (pytest.approx(0.95), pytest.approx(0.94))
    assert chosen["study"] == load_preset(NAME).published.setting
    assert page.unfinished == {}
    assert page.chosen == []


def test_a_page_of_chosen_presets_names_those_of_its_part(plan_job, build_page):
    page = build_page([plan_job(0.1, 0, 0.9)], presets=["learning_rate_holdout", "learning_rate"])
    assert page.chosen == ["learning_rate_holdout"]


def test_studies_are_composed_with_a_folder_beside_the_pages():
    steps = [StudyStep(study="width"), StudyStep(study="curves", experiment="mine")]
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        studies = orchestrator._compose_studies(steps, "out")
    assert [(name, cfg.study.name, cfg.output_dir) for name, cfg in studies.items()] == [
        ("study=width", "width", "out/results"),
        ("study=curves tracking.experiment_name=mine", "curves", "out/results"),
    ]


def test_a_part_has_the_templates_that_it_names(plan_job, build_page):
    assert build_page([plan_job(0.1, 0, 0.9)], part="holdout_width").template == "holdout"


def test_a_damaged_description_of_a_machine_is_told_and_left_out(plan_job, build_page, monkeypatch, caplog):
    damaged = '{"processor": "Aba'
    monkeypatch.setattr("mnist_flow.tracking.fetch_texts", lambda run_ids, _: [(run_id, damaged) for run_id in run_ids])
    assert build_page([plan_job(0.1, 0, 0.9)]).processors == []
    assert "run run 0.1 0: its artifact environment/machine.json is damaged" in caplog.text


def test_half_a_study_chooses_nothing_and_says_what_is_missing(plan_job, build_page):
    page = build_page([plan_job(0.1, 0, 0.9), plan_job(0.5, 0, 0.95), plan_job(0.5, 1, None)])
    assert page.selections.empty
    assert page.unfinished == {f"python -m mnist_flow.train -m experiment={NAME}": (1, 3)}
    # With other settings the command has them, too.
    page = build_page([plan_job(0.1, 0, 0.9), plan_job(0.5, 0, None)], ["data=digits", "seed=0,1"])
    assert list(page.unfinished) == [f"python -m mnist_flow.train -m experiment={NAME} data=digits seed=0,1"]


@pytest.mark.parametrize(("part", "rows"), [("reports", ["000-2A", "000-4B"]), ("reports_cnn", [])])
def test_published_numbers_are_on_the_page_of_their_preset_alone(plan_job, build_page, part, rows):
    page = build_page([plan_job(0.1, 0, 0.9)], part=part, others=["mlp_100"])
    assert [one.published.row for one in page.comparisons] == rows
    assert list(page.links) == ["run 0.1 0"]
    assert {one.verdict.basis for one in page.comparisons} <= {"not run yet"}


def test_runs_with_other_settings_are_not_judged(plan_job, build_page, monkeypatch):
    asked = []
    compare = orchestrator.compare_with_published
    monkeypatch.setattr(
        orchestrator, "compare_with_published", lambda *rest, **told: (asked.append(told), compare(*rest, **told))[1]
    )
    for overrides in ([], ["data=digits"]):
        build_page([plan_job(0.1, 0, 0.9)], overrides)
    assert asked == [{"same_settings": True}, {"same_settings": False}]


def test_a_part_without_a_finished_run_has_no_page(plan_job, build_page, caplog):
    assert build_page([plan_job(0.1, 0, None)]) is None
    assert "HOLDOUT.md: not written: no run of parts=[holdout] is finished" in caplog.text


def test_evaluations_get_their_own_overrides_and_where_the_data_is(monkeypatch):
    commands = []
    monkeypatch.setattr(orchestrator, "_run_command", lambda *words: (commands.append(words), ["failed"])[1])
    steps = [
        EvaluationStep(measure="shift", experiment="mlp_100"),
        EvaluationStep(measure="denoising", experiment="denoising", overrides=["measure.denoising.draws=2"]),
    ]
    failures = orchestrator._evaluate(steps, ["data=mnist", "data.path=/data/mnist.npz", "epochs=1"])
    denoising = ("tracking.experiment_name=denoising", "measure=[denoising]", "measure.denoising.draws=2")
    assert commands == [
        ("evaluate", "tracking.experiment_name=mlp_100", "measure=[shift]", "data.path=/data/mnist.npz"),
        ("evaluate", *denoising, "data.path=/data/mnist.npz"),
    ]
    assert failures == ["failed"] * 2


@pytest.fixture
def reproduce(store, monkeypatch):
    """Overrides → the commands that a reproduction of two presets on digits starts, of which none trains anything."""
    parts = ("parts.reports.evaluations=[{measure:shift,experiment:learning_rate}]", "parts.reports.studies=[]")
    options = "overrides=['data=digits','seed=0,1','optimizer.learning_rate=0.1,0.5']"

    def call(*overrides, fails=""):
        commands = []

        def run(name, *words):
            commands.append((name, *words))
            return [f"{name} failed"] if fails in words else []

        monkeypatch.setattr(orchestrator, "_run_command", run)
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            chosen = ("presets=[learning_rate,learning_rate_holdout]", "launcher=basic", "output_dir=out", options)
            orchestrator.run_reproduction(compose("reproduce", [*chosen, *(overrides or parts)]))
        return commands

    return call


def test_presets_are_trained_by_their_commands_with_the_options_and_then_measured(reproduce, tmp_path, caplog):
    options = ("hydra/launcher=basic", "data=digits", "seed=0,1", "optimizer.learning_rate=0.1,0.5")
    assert reproduce() == [
        ("train", "-m", "experiment=learning_rate", *options),
        ("train", "-m", "experiment=learning_rate_holdout", *options),
        ("evaluate", "tracking.experiment_name=learning_rate", "measure=[shift]"),
    ]
    # There is nothing to write on a page.
    assert list((tmp_path / "out").iterdir()) == []
    assert "RESULTS.md: not written: no run of parts=[reports] is finished" in caplog.text


def test_a_planned_reproduction_names_what_is_missing_and_begins_nothing(reproduce, store, tmp_path, capsys):
    assert reproduce("plan=true", "parts.reports.studies=[]") == []
    printed = capsys.readouterr().out
    for name in ("learning_rate", "learning_rate_holdout"):
        assert re.search(rf"│ *{name} *│ *4 *│ *0 *│ *0 *│ *4 *│ *unknown", printed)
    assert "8 runs to train" in printed
    assert not (tmp_path / "out").exists()
    assert len(store.search_experiments()) == 1


def test_a_step_that_fails_does_not_stop_the_others_and_is_named(reproduce):
    with pytest.raises(RunError, match=r"^1 steps failed; the same command goes on: train failed$"):
        reproduce(fails="experiment=learning_rate")


def test_studies_are_drawn_of_those_experiments_that_have_runs_and_of_these_runs(monkeypatch, caplog):
    drawn = []

    def draw(cfg):
        drawn.append((cfg.study.name, list(cfg.study.experiments), cfg.study.filter))
        if cfg.study.name == "curves":
            raise TrackingError("no curves")
        return len(drawn)

    monkeypatch.setattr(orchestrator, "run_study", draw)
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        studies = {
            "cnn": compose("analyze", ["study=cnn"]),
            "none": compose("analyze", ["study=width"]),
            "named": compose("analyze", ["study=learning_rate", "tracking.experiment_name=mine"]),
            "filtered": compose("analyze", ["study=compare", "study.experiments=[mine]", "study.filter='a = 1'"]),
            "missing": compose("analyze", ["study=curves", "study.experiments=[lenet5]"]),
            "search": compose("analyze", ["study=search", "tracking.experiment_name=found"]),
        }
    runs_of = {"lenet5": ["a", "b"], "cnn_45_60": ["c"], "mine": ["d"], "found": []}
    assert orchestrator._draw(studies, runs_of) == {"cnn": 1, "named": 2, "filtered": 3, "search": 5}
    assert sorted(drawn[0][1]) == ["cnn_45_60", "lenet5"]
    kept = [f"'{run}'" for name in drawn[0][1] for run in runs_of[name]]
    assert drawn[0][2] == f"attributes.run_id IN ({', '.join(kept)})"
    assert drawn[1] == ("learning_rate", ["learning_rate"], "attributes.run_id IN ('d')")
    assert drawn[2] == ("compare", ["mine"], "a = 1 and attributes.run_id IN ('d')")
    assert drawn[4][2] is None
    assert "missing: not drawn: no curves" in caplog.text


@pytest.mark.parametrize(
    ("status", "failed"),
    [(0, []), (1, ["evaluate measure=shift run_ids=[a] (exit status 1)"])],
)
def test_a_step_is_a_command_of_its_own_that_has_the_same_store(monkeypatch, tmp_path, status, failed):
    monkeypatch.setattr(orchestrator.tracking, "list_variables", lambda: {"MLFLOW_TRACKING_URI": "http://there"})
    program = (
        "import json, os, pathlib, sys; words = sys.argv[2:], os.environ['MLFLOW_TRACKING_URI']; "
        f"pathlib.Path(sys.argv[1]).write_text(json.dumps(words)); sys.exit({status})"
    )
    noted = tmp_path / "noted"
    begin = subprocess.Popen
    monkeypatch.setattr(
        orchestrator.subprocess,
        "Popen",
        lambda words, **how: begin([words[0], "-c", program, noted, *words[1:]], **how),
    )
    assert orchestrator._run_command("evaluate", "measure=shift", "run_ids=[a]") == failed
    assert json.loads(noted.read_text()) == [
        ["-m", "mnist_flow.evaluate", "measure=shift", "run_ids=[a]"],
        "http://there",
    ]


@pytest.mark.parametrize("status", [130, 143])
def test_a_step_that_was_interrupted_interrupts_the_reproduction(monkeypatch, status):
    monkeypatch.setattr(orchestrator.sys, "executable", shutil.which("false"))
    wait = subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, "wait", lambda process, timeout=None: (wait(process, timeout), status)[1])
    with pytest.raises(KeyboardInterrupt):
        orchestrator._run_command("train", "-m")


def test_a_preset_of_a_part_that_is_not_chosen_is_told(reproduce):
    with pytest.raises(ConfigError, match=r"presets: 'learning_rate' is in none of parts=\[holdout\]; choose its part"):
        reproduce("parts=[holdout]")


def test_an_option_that_does_not_suit_a_preset_names_it(reproduce):
    with pytest.raises(HydraException) as caught:
        reproduce("overrides=['data=digits','model.blocks=[]']")
    assert caught.value.__notes__ == ["experiment=learning_rate; presets=[NAME] chooses others"]
