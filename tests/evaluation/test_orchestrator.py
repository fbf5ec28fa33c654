"""What `evaluate_runs` leaves in a real store, and what it says of runs that can't be measured."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mnist_flow import CONF_DIR, tracking
from mnist_flow.errors import RunError, TrackingError
from mnist_flow.evaluation.orchestrator import evaluate_runs
from mnist_flow.runs.orchestrator import run_experiment
from support import QUICK

# Two conditions: the test images as they are, and moved.
SHORT = [
    "measure=shift",
    "measure.shift.max_pixels=1",
    "measure.shift.directions=[right]",
    "measure.shift.fills=[zero]",
]


def compose_evaluate(*overrides: str):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose("evaluate", list(overrides))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of its own with three finished runs, of seeds 0 to 2; pixels of seed 2 are halved."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(CONF_DIR, version_base="1.3"):
        patch.chdir(folder)
        # MLflow keeps the connections of a URI: a relative one may be another test's file.
        store = f"tracking.uri='sqlite:///{folder / 'mlflow.db'}'"
        for seed, scale in ((0, 1), (1, 1), (2, 0.5)):
            run_experiment(compose("config", [*QUICK, "epochs=1", f"seed={seed}", f"data.scale={scale}", store]))
    return folder


@pytest.fixture
def experiment_id(client):
    return client.get_experiment_by_name("mnist_flow").experiment_id


@pytest.fixture
def trained(client, experiment_id):
    """The training runs, by seed."""
    runs = client.search_runs([experiment_id], "tags.`mnist_flow.kind` = 'train' and params.epochs = '1'")
    return sorted(runs, key=lambda run: int(run.data.params["seed"]))


def list_evaluations(client, experiment_id):
    return client.search_runs([experiment_id], "tags.`mnist_flow.kind` = 'evaluation'")


def train_another(client, experiment_id, *overrides):
    """One more run, which the test deletes at its end."""
    run_experiment(compose_train(*QUICK, "epochs=1", "resume=false", *overrides))
    return find_newest(client, experiment_id)


def compose_train(*overrides: str):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose("config", list(overrides))


def find_newest(client, experiment_id):
    return client.search_runs([experiment_id], "tags.`mnist_flow.kind` = 'train'", max_results=1)[0]


def test_every_run_of_an_experiment_is_measured_once(client, experiment_id, trained, capsys):
    before = len(list_evaluations(client, experiment_id))
    summary = evaluate_runs(compose_evaluate(*SHORT))
    assert summary["run_id"].tolist() == [run.info.run_id for run in trained]
    assert set(summary["state"]) == {"measured"}
    printed = capsys.readouterr().out
    assert "3 evaluations: 0 done before, 3 to measure" in printed
    assert f"2 of 3: shift of {trained[1].info.run_name}: mean accuracy " in printed
    assert len(list_evaluations(client, experiment_id)) == before + 3
    again = evaluate_runs(compose_evaluate(*SHORT))
    assert set(again["state"]) == {"done before"}
    assert again["evaluation"].tolist() == summary["evaluation"].tolist()
    assert len(list_evaluations(client, experiment_id)) == before + 3
    anew = evaluate_runs(compose_evaluate(*SHORT, "resume=false", f"run_ids=[{trained[0].info.run_id}]"))
    assert anew["worst accuracy"].tolist() == summary["worst accuracy"].tolist()[:1]
    assert len(list_evaluations(client, experiment_id)) == before + 4


def test_an_evaluation_is_linked_to_its_run_and_model_and_has_its_table(client, experiment_id, trained):
    # The second has its pixels halved, so that what is measured depends on the scale.
    for run in (trained[0], trained[2]):
        summary = evaluate_runs(compose_evaluate("measure=rotation", f"run_ids=[{run.info.run_id}]"))
        evaluation = client.get_run(summary["evaluation"][0])
        assert evaluation.info.status == "FINISHED"
        assert evaluation.info.run_name == f"rotation of {run.info.run_name}"
        assert evaluation.data.tags["mlflow.parentRunId"] == run.info.run_id
        assert evaluation.data.tags["mnist_flow.measured_run"] == run.info.run_id
        models = [output.model_id for output in run.outputs.model_outputs]
        assert [one.model_id for one in evaluation.inputs.model_inputs] == models
        assert [one.dataset.name for one in evaluation.inputs.dataset_inputs] == ["digits_test"]
        assert evaluation.data.tags["mnist_flow.data"] == run.data.tags["mnist_flow.data"]
        used = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
        assert [one.dataset.digest for one in evaluation.inputs.dataset_inputs] == [used["digits_test"]]
        config = mlflow.artifacts.load_text(f"{evaluation.info.artifact_uri}/config/config.yaml")
        assert OmegaConf.create(config).run_ids == [run.info.run_id]
        params = evaluation.data.params
        assert {key: params[key] for key in ("model.name", "seed", "data.name", "data.validation")} == {
            key: run.data.params[key] for key in ("model.name", "seed", "data.name", "data.validation")
        }
        assert params["measure.rotation.degrees"].startswith("[-45.0, ")
        assert not [key for key in params if key.startswith("tracking.")]
        mlflow.set_experiment(experiment_id=experiment_id)
        table = mlflow.load_table("tables/rotation.json", run_ids=[evaluation.info.run_id])
        assert list(table) == [
            *("run_id", "degrees", "n", "accuracy", "standard_error", "macro_recall", "cross_entropy")
        ]
        assert set(table["run_id"]) == {run.info.run_id}
        assert set(table["n"]) == {360}
        unturned = table[table["degrees"] == 0].iloc[0]
        # A table has 15 digits.
        assert unturned["accuracy"] == pytest.approx(run.data.metrics["test_accuracy"], rel=1e-14)
        assert unturned["cross_entropy"] == pytest.approx(run.data.metrics["test_cross_entropy"], rel=1e-14)
        unturned = evaluation.data.metrics["rotation_worst_accuracy_at_0_degrees"]
        assert unturned == run.data.metrics["test_accuracy"]
        assert table["accuracy"].nunique() > 1
        assert evaluation.data.metrics["rotation_worst_accuracy"] == pytest.approx(table["accuracy"].min())
        measured = {metric.key: metric.run_id for metric in client.get_logged_model(models[0]).metrics}
        assert measured["rotation_worst_accuracy"] == evaluation.info.run_id


def test_all_measures_at_once_and_nothing_changed_is_the_run_s_own_accuracy(client, trained):
    short = ["measure.salt_and_pepper.levels=[0,1]", "measure.gaussian.stddevs=[0]", "measure.shift.max_pixels=1"]
    summary = evaluate_runs(compose_evaluate(f"run_ids=[{trained[1].info.run_id}]", *short))
    assert sorted(summary["measure"]) == ["gaussian", "rotation", "salt_and_pepper", "shift"]
    own = trained[1].data.metrics["test_accuracy"]
    neutral = {"gaussian": "stddev", "rotation": "degrees", "salt_and_pepper": "level", "shift": "pixels"}
    for measure, column in neutral.items():
        table = tracking.fetch_tables(measure, [trained[1].info.experiment_id], [trained[1].info.run_id])
        np.testing.assert_allclose(table.loc[table[column] == 0, "accuracy"], own, rtol=1e-14)


def test_runs_are_chosen_by_a_filter(client, trained):
    summary = evaluate_runs(compose_evaluate(*SHORT, "filter='params.seed = \"1\"'"))
    assert summary["run_id"].tolist() == [trained[1].info.run_id]


def test_other_settings_are_another_evaluation(client, experiment_id, trained):
    chosen = f"run_ids=[{trained[0].info.run_id}]"
    evaluations = set()
    for pixels in (2, 1):
        summary = evaluate_runs(compose_evaluate("measure=shift", f"measure.shift.max_pixels={pixels}", chosen))
        evaluations |= set(summary["evaluation"])
    assert len(evaluations) == 2
    # The analysis gets the conditions of both.
    assert tracking.fetch_tables("shift", [experiment_id], [trained[0].info.run_id])["pixels"].max() == 2


def test_a_run_without_a_model_is_told_and_the_others_are_measured(client, experiment_id, trained, caplog):
    without = train_another(client, experiment_id, "tracking.log_model=false", "seed=5")
    message = f"run {without.info.run_id}: has no logged model"
    with pytest.raises(RunError, match=r"^1 of 4 evaluations failed, each told above$"):
        evaluate_runs(compose_evaluate(*SHORT, "measure.shift.directions=[left]"))
    assert caplog.text.count(message) == 1
    measured = tracking.fetch_tables("shift", [experiment_id])
    assert {run.info.run_id for run in trained} <= set(measured["run_id"])
    with pytest.raises(TrackingError, match=message):
        evaluate_runs(compose_evaluate(*SHORT, f"run_ids=[{without.info.run_id}]"))
    client.delete_run(without.info.run_id)


def test_a_model_that_can_not_be_loaded_is_told_and_the_others_are_measured(
    client, experiment_id, trained, capsys, caplog
):
    broken = train_another(client, experiment_id, "seed=6")
    model = client.get_logged_model(broken.outputs.model_outputs[0].model_id)
    (file,) = Path(model.artifact_location).rglob("model.keras")
    file.write_bytes(file.read_bytes()[:1000])
    ids = f"run_ids=[{broken.info.run_id},{trained[0].info.run_id}]"
    options = (*SHORT[1:], ids, "measure.shift.directions=[up]", "resume=false")
    with pytest.raises(RunError, match=r"^2 of 4 evaluations failed, each told above$"):
        evaluate_runs(compose_evaluate("measure=[shift,rotation]", *options))
    (told,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert told.startswith(f"run {broken.info.run_id}: its model can't be loaded")
    assert "\n" not in told
    assert f"3 of 4: shift of {trained[0].info.run_name}: " in capsys.readouterr().out
    evaluations = list_evaluations(client, experiment_id)
    assert not [run for run in evaluations if run.data.tags["mnist_flow.measured_run"] == broken.info.run_id]
    assert evaluations[0].data.tags["mnist_flow.measured_run"] == trained[0].info.run_id
    client.delete_run(broken.info.run_id)


def test_a_run_on_other_data_is_told_and_not_measured(client, experiment_id, trained):
    run_id = trained[0].info.run_id
    digest = trained[0].data.tags["mnist_flow.data"]
    client.set_tag(run_id, "mnist_flow.data", "0123456789abcdef")
    before = len(list_evaluations(client, experiment_id))
    with pytest.raises(RunError, match=f"^run {run_id}: was trained on other data") as raised:
        evaluate_runs(compose_evaluate(*SHORT, f"run_ids=[{run_id}]", "resume=false"))
    client.set_tag(run_id, "mnist_flow.data", digest)
    assert digest in str(raised.value)
    assert len(list_evaluations(client, experiment_id)) == before


def test_data_that_can_not_be_had_are_told_with_the_run(client, experiment_id, monkeypatch):
    mnist = client.create_run(experiment_id, tags={"mnist_flow.kind": "train"}, run_name="on mnist").info.run_id
    client.log_param(mnist, "data.name", "mnist")
    model = client.create_logged_model(experiment_id, "model", mnist)
    client.log_outputs(mnist, [mlflow.entities.LoggedModelOutput(model.model_id, 0)])
    client.set_terminated(mnist, "FINISHED")
    with pytest.raises(RunError, match=rf"run {mnist}: data.path=none.npz: no such file\. Remedies"):
        evaluate_runs(compose_evaluate(*SHORT, f"run_ids=[{mnist}]", "data.path=none.npz"))
    client.delete_run(mnist)


def test_runs_that_are_no_finished_training_runs_are_told(client, experiment_id):
    sweep = client.create_run(experiment_id, tags={"mnist_flow.kind": "sweep"}).info.run_id
    running = client.create_run(experiment_id, tags={"mnist_flow.kind": "train"}).info.run_id
    with pytest.raises(TrackingError) as raised:
        evaluate_runs(compose_evaluate(*SHORT, f"run_ids=[{sweep},{running},nothing]"))
    assert str(raised.value).split("; ") == [
        f"run {sweep}: is no training run but of kind sweep",
        f"run {running}: is RUNNING",
        "only finished runs have their model",
        f"run nothing: there is no such run at {tracking.get_uri()}",
    ]
    for run_id in (sweep, running):
        client.delete_run(run_id)


def test_an_evaluation_that_another_process_makes_is_not_made_twice(client, experiment_id, trained):
    chosen = f"run_ids=[{trained[0].info.run_id}]"
    summary = evaluate_runs(compose_evaluate(*SHORT, chosen))
    client.update_run(summary["evaluation"][0], status="RUNNING")
    with pytest.raises(RunError, match=f"run {trained[0].info.run_id}: process .* measures its shift; wait for it"):
        evaluate_runs(compose_evaluate(*SHORT, chosen))
    client.update_run(summary["evaluation"][0], status="FINISHED")


def test_evaluations_by_other_code_count_and_are_made_anew_on_demand(client, trained, monkeypatch, caplog):
    chosen = f"run_ids=[{trained[0].info.run_id}]"
    first = evaluate_runs(compose_evaluate(*SHORT, chosen))
    monkeypatch.setattr("mnist_flow.evaluation.plan.digest_code", lambda kind: "another")
    kept = evaluate_runs(compose_evaluate(*SHORT, chosen))
    assert kept["evaluation"].tolist() == first["evaluation"].tolist()
    assert "by another version of the code" in caplog.text
    anew = evaluate_runs(compose_evaluate(*SHORT, chosen, "tracking.changed_code=retrain"))
    assert anew["state"].tolist() == ["measured"]


def test_a_server_that_goes_away_stops_only_what_needs_it(client, trained, monkeypatch, caplog):
    """The first evaluation can't begin; the second begins when the server is back."""
    start_run, calls = tracking.start_run, []

    def start_or_fail(*arguments, **options):
        calls.append(options["options"].patience)
        if len(calls) == 1:
            raise TrackingError("tracking server x: does not answer")
        return start_run(*arguments, **options)

    monkeypatch.setattr(tracking, "start_run", start_or_fail)
    ids = ",".join(run.info.run_id for run in trained[:2])
    with pytest.raises(RunError, match=r"^1 of 2 evaluations failed, each told above$"):
        evaluate_runs(compose_evaluate(*SHORT, f"run_ids=[{ids}]", "resume=false"))
    assert f"run {trained[0].info.run_id}: tracking server x: does not answer" in caplog.text
    assert calls == [120, 0]


def test_the_evaluations_of_training_runs_do_not_disturb_the_look_for_training_runs(client, experiment_id, trained):
    evaluate_runs(compose_evaluate(*SHORT))
    assert {run.run_id for run in tracking.fetch_runs([experiment_id])} == {run.info.run_id for run in trained}
    assert {run.run_id for run in tracking.fetch_past_runs(experiment_id)} == {run.info.run_id for run in trained}


# A classifier behind a denoiser

DENOISING = [
    "measure=denoising",
    "measure.denoising.levels=[0.0,0.5]",
    "measure.denoising.draws=1",
    "measure.denoising.quality_images=5",
]


@pytest.fixture(scope="module")
def denoisers(folder):
    """Two autoencoders of seed 0, one of them better, and one of seed 1, in the experiment `denoisers`."""
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(CONF_DIR, version_base="1.3"):
        patch.chdir(folder)
        store = f"tracking.uri='sqlite:///{folder / 'mlflow.db'}'"
        small = [
            "data=digits",
            "model=autoencoder",
            "model.hidden_units=[]",
            "model.latent_units=4",
            "tracking.log_figures=false",
        ]
        named = ["noise=salt_and_pepper", "tracking.experiment_name=denoisers", store]
        for overrides in (["seed=0", "epochs=1"], ["seed=0", "epochs=3"], ["seed=1", "epochs=1"]):
            run_experiment(compose("config", [*small, *named, *overrides]))
    runs = mlflow.search_runs(experiment_names=["denoisers"], order_by=["attributes.start_time ASC"])
    return list(runs["run_id"])


def choose(*overrides):
    return [*DENOISING, *(f"measure.denoising.denoiser.{one}" for one in ("experiment_name=denoisers", *overrides))]


def test_a_classifier_is_measured_behind_the_best_denoiser_of_its_seed(client, trained, denoisers):
    for run, denoiser in zip(trained[:2], (denoisers[1], denoisers[2]), strict=True):
        summary = evaluate_runs(compose_evaluate(*choose(), f"run_ids=[{run.info.run_id}]"))
        evaluation = client.get_run(summary["evaluation"][0])
        assert evaluation.data.params["measure.denoising.denoiser.run_id"] == denoiser
        assert len(evaluation.inputs.model_inputs) == 2
        assert summary["noisy recall at 0.5"][0] == evaluation.data.metrics["noisy_macro_recall_at_level_0.5"]
        table = tracking.fetch_tables("denoising", [run.info.experiment_id], [run.info.run_id])
        assert set(table["denoiser"]) == {"", "denoisers, level 0.4"}
        assert len(table) == 2 * 3


def test_the_best_denoiser_and_the_best_classifier_can_be_chosen(client, trained, denoisers):
    summary = evaluate_runs(compose_evaluate(*choose("choose=best"), "choose=best"))
    accuracies = {run.info.run_id: run.data.metrics["val_accuracy"] for run in trained}
    assert summary["run_id"].tolist() == [max(accuracies, key=accuracies.get)]
    chosen = client.get_run(summary["evaluation"][0]).data.params["measure.denoising.denoiser.run_id"]
    losses = {run_id: client.get_run(run_id).data.metrics["val_loss"] for run_id in denoisers}
    assert chosen == min(losses, key=losses.get)


def test_another_denoiser_is_another_evaluation(client, trained, denoisers):
    of_run = f"run_ids=[{trained[0].info.run_id}]"
    first, again, other = (
        evaluate_runs(compose_evaluate(*choose(f"run_id={denoiser}"), of_run))
        for denoiser in (denoisers[0], denoisers[0], denoisers[2])
    )
    assert again["evaluation"].tolist() == first["evaluation"].tolist()
    assert other["evaluation"].tolist() != first["evaluation"].tolist()


def test_models_that_are_for_something_else_are_refused(client, trained, denoisers):
    classifier, denoiser = trained[0].info.run_id, denoisers[0]
    with pytest.raises(RunError, match=rf"run {denoiser}: .* but measure=denoising wants a classifier, which takes"):
        evaluate_runs(compose_evaluate(*choose(f"run_id={denoiser}"), f"run_ids=[{denoiser}]"))
    message = rf"run {classifier}: .* but measure.denoising.denoiser wants an autoencoder, which takes"
    with pytest.raises(RunError, match=message):
        evaluate_runs(compose_evaluate(*choose(f"run_id={classifier}"), f"run_ids=[{classifier}]"))


def test_a_network_without_an_encoder_is_refused_before_its_evaluation_is_a_run(client, experiment_id, caplog):
    small = ["data=digits", "model=unet", "model.filters=[2]", "model.bottleneck_filters=2", "epochs=1"]
    run_experiment(compose_train(*small, "tracking.log_figures=false"))
    run = find_newest(client, experiment_id)
    before = len(list_evaluations(client, experiment_id))
    message = f"^run {run.info.run_id}: its model has no encoder, and measure=latent wants one; choose runs of an auto"
    with pytest.raises(RunError, match=message):
        evaluate_runs(compose_evaluate("measure=latent", f"run_ids=[{run.info.run_id}]"))
    # The only failure is told once.
    assert "has no encoder" not in caplog.text
    assert len(list_evaluations(client, experiment_id)) == before
    client.delete_run(run.info.run_id)


def test_a_denoiser_that_is_not_there_is_one_line(client, trained, denoisers):
    of_run = f"run_ids=[{trained[2].info.run_id}]"
    with pytest.raises(
        RunError, match=r"has no run of seed 2, but of 0 1; measure\.denoising\.denoiser\.choose=best takes"
    ):
        evaluate_runs(compose_evaluate(*choose(), of_run))
    with pytest.raises(TrackingError, match="denoiser: run nobody: there is no such run"):
        evaluate_runs(compose_evaluate(*choose("run_id=nobody"), of_run))
    with pytest.raises(TrackingError, match=r"denoiser\.experiment_name=autoencoder: no finished runs .* make some: "):
        evaluate_runs(compose_evaluate(*choose("experiment_name=autoencoder"), of_run))
