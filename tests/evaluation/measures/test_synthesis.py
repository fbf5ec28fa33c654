"""The ways to make digits, on an autoencoder whose code is the image and on trained ones in a real store."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR, tracking
from mnist_flow.analysis.study import run_study
from mnist_flow.config.evaluate import EvaluateConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.data.loading import load_data_set
from mnist_flow.errors import RunError, TrackingError
from mnist_flow.evaluation.measures import synthesis
from mnist_flow.evaluation.orchestrator import evaluate_runs
from mnist_flow.evaluation.subject import LoadedModel, Subject
from mnist_flow.models.cvae import read_code_distribution
from mnist_flow.models.unet import build_unet
from mnist_flow.runs.orchestrator import run_experiment
from support import QUICK


def compose_evaluate(*overrides: str):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return compose("evaluate", ["measure=synthesis", *overrides])


def read_settings(*overrides: str):
    keys = [f"measure.synthesis.{override}" for override in overrides]
    return validate_config(compose_evaluate(*keys), EvaluateConfig).measure.synthesis


def build_identity() -> keras.Model:
    """An autoencoder whose code is the image."""
    images = keras.Input((28, 28, 1))
    encoder = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()], name="encoder")
    decoder = keras.Sequential([keras.Input((784,)), keras.layers.Reshape((28, 28, 1))], name="decoder")
    return keras.Model(images, decoder(encoder(images)))


def build_judge() -> keras.Model:
    """Reads the digit from how bright the image is: digit d has pixels of d / 10."""
    rows = [
        keras.Input((28, 28, 1)),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10, "softmax"),
    ]
    model = keras.Sequential(rows)
    # -(x - d/10)²·1000 but for what all digits have in common.
    digits = np.arange(10) / 10
    model.layers[-1].set_weights([2000 * digits[None], -1000 * digits**2])
    return model


@pytest.fixture(scope="module")
def subject():
    """Twenty images of each digit, all of one grey: the digit's, and a little more or less."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 20)
    greys = (labels / 10 + rng.uniform(-0.02, 0.02, len(labels))).clip(0, 1)
    images = np.broadcast_to(greys[:, None, None, None], (200, 28, 28, 1)).astype(np.float32)
    data_set = DataSet(
        "digits",
        "",
        "",
        (28, 28, 1),
        tuple("0123456789"),
        train=Images(images, labels),
        test=Images(images[1::2], labels[1::2]),
    )
    models = [
        LoadedModel("id", name, model, 1.0, 100) for name, model in (("i", build_identity()), ("j", build_judge()))
    ]
    return Subject(models[0], data_set, {"judge": models[1]})


def measure(subject, *overrides):
    result = synthesis.measure("synthesis", read_settings("samples=6", *overrides), subject)
    table = result.tables["tables/synthesis.json"]
    return result, table[table["digit"] == "all"].set_index(["way", "step"])


def test_every_way_of_an_autoencoder(subject):
    result, table = measure(subject)
    assert list(table.index) == [
        ("test_images", 0),
        ("interpolation_within", 0),
        ("interpolation_between", 0),
        ("salted_codes", 0),
        ("salted_codes", 1),
        ("noise_codes_corrupted", 0),
        ("noise_codes_kept", 0),
        ("gaussian_mixture", 0),
        ("gaussian_mixture", 1),
    ]
    # Six of each digit, though there are ten.
    assert table.loc["test_images", "n"].tolist() == [60]
    assert table.loc["test_images", "agreement"].tolist() == [1]
    assert table.loc["test_images", "diversity"].tolist() == [1]
    assert table.loc["interpolation_within", "agreement"].tolist() == [1]
    assert table.loc["interpolation_between", "agreement"].item() < 1
    assert table.loc["gaussian_mixture", "agreement"].tolist() == [1, 1]
    assert result.metrics["gaussian_mixture_sharpened_1_agreement"] == 1
    agreements = table["agreement"].iloc[1:]
    assert agreements.min() < 1
    assert synthesis.summarise("synthesis", result.metrics) == {
        "best agreement": 1,
        "worst agreement": agreements.min(),
    }
    assert set(result.figures) == {
        f"samples/synthesis_{way}.png" for way in table.index.unique("way") if way != "test_images"
    }


def test_a_figure_shows_only_the_first_of_very_many_classes(subject, monkeypatch):
    monkeypatch.setattr(synthesis, "_SHOWN_CLASSES", 3)
    result, table = measure(subject, "ways=[gaussian_mixture]")
    (axes,) = result.figures["samples/synthesis_gaussian_mixture.png"].axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[0].endswith(", the first 3 of 10 classes")
    assert [text for text in texts if text.startswith("class ")] == ["class 0", "class 1", "class 2"]
    # All are measured.
    assert table.loc["gaussian_mixture", "n"].tolist() == [60, 60]


def test_both_readings_of_noise_as_a_code(subject):
    """At level 1, corruption replaces every number by 0 or 1; with the printed code zeros stay zeros."""
    result, table = measure(subject, "ways=[noise_codes]")
    corrupted = result.arrays["samples/synthesis_noise_codes_corrupted.npz"]["made"]
    assert set(np.unique(corrupted)) == {0, 1}
    assert corrupted.mean() == pytest.approx(0.5, abs=0.01)
    kept = result.arrays["samples/synthesis_noise_codes_kept.npz"]
    assert not kept["made"].any()
    assert kept["intended"].tolist() == [-1] * 18
    assert kept["judged"].tolist() == [[0] * 18]
    assert table["agreement"].isna().tolist() == [False, True, True]
    assert "noise_codes_kept_agreement" not in result.metrics
    assert table.loc["noise_codes_kept", "diversity"].tolist() == [0]
    other, _ = measure(subject, "ways=[noise_codes]", "noise_level=0.4")
    for reading, bright in (("corrupted", 0.2), ("kept", 0.3)):
        made = other.arrays[f"samples/synthesis_noise_codes_{reading}.npz"]["made"]
        assert made.mean() == pytest.approx(bright, abs=0.02)


def test_an_interpolation_lies_between_its_ends(subject):
    arrays = measure(subject, "ways=[interpolation]")[0].arrays
    within = arrays["samples/synthesis_interpolation_within.npz"]
    assert within["made"].shape == (1, 60, 28, 28, 1)
    greys = within["made"][0].mean(axis=(1, 2, 3))
    assert np.abs(greys - within["intended"] / 10).max() < 0.021
    # The nearest training image is of the same grey, and stands beside it.
    np.testing.assert_allclose(within["nearest"][0].mean(axis=(1, 2, 3)), greys, atol=0.02)
    assert within["nearest_distance"].max() < 0.02


def test_images_pass_the_sharpener_or_the_measured_autoencoder_once_more(subject):
    def make(subject):
        return measure(subject, "ways=[salted_codes]")[0].arrays["samples/synthesis_salted_codes.npz"]["made"]

    x = keras.Input((28, 28, 1))
    halve = LoadedModel("id", "h", keras.Model(x, keras.layers.Rescaling(0.5)(x)), 1.0, 100)
    decoded, once_more = make(subject)
    np.testing.assert_array_equal(once_more, decoded)
    decoded, sharpened = make(replace(subject, partners=subject.partners | {"sharpener": halve}))
    np.testing.assert_array_equal(sharpened, decoded / 2)
    assert decoded.max() > 0.5


def test_seeds_decide_what_is_drawn(subject):
    def made(*overrides):
        return measure(subject, "ways=[salted_codes]", *overrides)[0].arrays["samples/synthesis_salted_codes.npz"][
            "made"
        ]

    np.testing.assert_array_equal(made(), made())
    assert np.abs(made() - made("seed=1")).max() > 0


def test_what_the_model_can_not_do_is_told(subject):
    with pytest.raises(
        RunError, match=r"run id: its model can't do measure.synthesis.ways=random_codes; choose from inter"
    ):
        measure(subject, "ways=[random_codes,interpolation]")


@pytest.mark.parametrize("ways", ["all", "[interpolation]"])
def test_a_model_without_decoder_is_told(subject, ways):
    measured = LoadedModel("id", "unet", build_unet((28, 28, 1), [2], 2), 1.0, 100)
    with pytest.raises(
        RunError, match=r"^run id: its model has no layer 'decoder', but images images_split .*_double$"
    ):
        measure(replace(subject, measured=measured), f"ways={ways}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store with a judge, an autoencoder of each kind and two conditional ones, of two epochs."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch, initialize_config_dir(CONF_DIR, version_base="1.3"):
        patch.chdir(folder)
        common = ["data=digits", "epochs=1", f"tracking.uri='sqlite:///{folder / 'mlflow.db'}'"]
        run_experiment(compose("config", [*QUICK, common[2], "tracking.experiment_name=denoising"]))
        for model, seed in (("autoencoder", 0), ("autoencoder_2d", 0), ("cvae", 0), ("cvae", 1)):
            options = [f"model={model}", f"seed={seed}", "evaluation.quality_images=5", "evaluation.noise_levels=[0.4]"]
            run_experiment(compose("config", [*common, *options, f"tracking.experiment_name={model}"]))
    return folder


def run_of(client, experiment):
    found = client.search_runs(
        [client.get_experiment_by_name(experiment).experiment_id], "tags.`mnist_flow.kind` = 'train'"
    )
    return found[-1]


def draw_study(tmp_path, *overrides):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return run_study(compose("analyze", ["study=synthesis", f"output_dir={tmp_path}", *overrides]))


@pytest.mark.slow
# It trains five models and measures four of them.
@pytest.mark.timeout(600)
def test_from_training_to_the_study(client, tmp_path):
    """In this order: nothing is measured; all is measured; all is drawn."""
    with pytest.raises(TrackingError, match=r"no run of .* cvae is measured; .*evaluate measure=synthesis"):
        draw_study(tmp_path)
    short = ["measure.synthesis.samples=4"]
    evaluate_runs(compose_evaluate(*short, "tracking.experiment_name=autoencoder"))
    sharpened = "measure.synthesis.sharpener.experiment_name=autoencoder"
    evaluate_runs(compose_evaluate(*short, "tracking.experiment_name=autoencoder_2d", sharpened))
    summary = evaluate_runs(compose_evaluate(*short, "tracking.experiment_name=cvae"))
    assert len(summary) == 2
    evaluation = client.get_run(summary["evaluation"][0])
    judge = run_of(client, "denoising").info.run_id
    assert evaluation.data.params["measure.synthesis.judge.run_id"] == judge
    assert evaluation.data.params["measure.synthesis.mixture.keep"] == "0.7"
    assert evaluation.data.params["measure.synthesis.sharpener.run_id"] == "None"
    files = {file.path for file in client.list_artifacts(evaluation.info.run_id, "samples")}
    assert files == {f"samples/synthesis_conditional_decoder.{ending}" for ending in ("png", "npz")}
    flat = run_of(client, "autoencoder_2d")
    table = tracking.fetch_tables("synthesis", [flat.info.experiment_id])
    assert table.loc[(table["way"] == "random_codes") & (table["digit"] == "all"), "step"].tolist() == [0, 1, 2]

    draw_study(tmp_path)
    drawn = pd.read_csv(tmp_path / "synthesis.csv")
    of_cvae = drawn[(drawn["model"] == "cvae") & (drawn["way"] == "conditional_decoder")]
    assert of_cvae["measure"].tolist() == ["agreement", "diversity", "nearest_distance", "confidence"]
    assert of_cvae["n"].tolist() == [2] * 4
    assert set(drawn["model"]) == {"autoencoder", "autoencoder_2d", "cvae"}
    digits = pd.read_csv(tmp_path / "synthesis_digits.csv")
    assert set(digits.loc[digits["model"] == "cvae", "digit"]) == set(range(10))
    assert (tmp_path / "synthesis.png").is_file()


def test_a_model_that_is_no_judge_is_told(client):
    run_id, flat = (run_of(client, name).info.run_id for name in ("cvae", "autoencoder_2d"))
    with pytest.raises(
        RunError, match=r"measure.synthesis.judge wants a classifier, which takes \(28, 28, 1\) and gives \(10,\)"
    ):
        evaluate_runs(compose_evaluate(f"run_ids=[{run_id}]", f"measure.synthesis.judge.run_id={flat}", "resume=false"))


def test_a_classifier_makes_no_digits(client):
    run_id = run_of(client, "denoising").info.run_id
    with pytest.raises(
        RunError, match=r"measure=synthesis wants an autoencoder, .* or a conditional autoencoder, which"
    ):
        evaluate_runs(compose_evaluate(f"run_ids=[{run_id}]"))


def test_the_training_run_of_a_conditional_decoder(client):
    run = run_of(client, "cvae")
    metrics = run.data.metrics
    assert metrics["n_parameters"] == 1_049_800
    # The loss anew, from the logged model: the latent is its mean, pixels count as they are, nats an image.
    model = tracking.load_model(tracking.fetch_logged_run(run.info.run_id))
    test = load_data_set("digits", None).test
    hidden = keras.Model(model.inputs, [model.output, *read_code_distribution(model)])
    made, mean, log_stddev = (x.astype(np.float64) for x in hidden.predict([test.images, np.eye(10)[test.labels]]))
    made = np.clip(made, 1e-7, 1 - 1e-7)
    pixels = -(test.images * np.log(made) + (1 - test.images) * np.log1p(-made))
    divergence = (mean**2 + np.exp(2 * log_stddev) - 1) / 2 - log_stddev
    assert metrics["test_cross_entropy"] == pytest.approx(pixels.sum() / 360, rel=1e-4)
    assert metrics["test_code_divergence"] == pytest.approx(divergence.sum() / 360, rel=1e-4)
    assert metrics["test_loss"] == pytest.approx((pixels.sum() + divergence.sum()) / 360, rel=1e-4)
    files = {file.path for file in client.list_artifacts(run.info.run_id, "samples")}
    assert files == {"samples/generated.png"}
