"""Every key of conf/evaluate.yaml and conf/measure/*.yaml changes what it is for, and nothing else.

The tables below are complete: a key without a row fails the test that walks the composed config.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import keras
import mlflow
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from mnist_flow import CONF_DIR, tracking
from mnist_flow.config.evaluate import EvaluateConfig
from mnist_flow.config.options import find_module, list_options
from mnist_flow.config.section import flatten
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DataSet, Images
from mnist_flow.evaluation import LoadedModel, Subject
from mnist_flow.evaluation.orchestrator import evaluate_runs
from mnist_flow.evaluation.plan import plan_evaluations

SHAPE = (12, 12, 1)
MEASURES = list_options("mnist_flow.evaluation.measures")
PARTNERS = ("denoising.denoiser", "synthesis.judge", "synthesis.sharpener")


def read_config(*overrides: str) -> EvaluateConfig:
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return validate_config(compose("evaluate", list(overrides)), EvaluateConfig)


def make_images(n: int, seed: int) -> Images:
    """Images of ten classes, brighter with the class."""
    rng, labels = np.random.default_rng(seed), np.arange(n) % 10
    return Images((rng.random((n, *SHAPE)) * (labels[:, None, None, None] + 1) / 10).astype(np.float32), labels)


DATA = DataSet("digits", "here", "0" * 16, SHAPE, tuple("0123456789"), make_images(50, 0), make_images(40, 1))


def build_classifier() -> keras.Model:
    layers = [
        keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, "softmax"),
    ]
    return keras.Sequential([keras.Input(SHAPE), *layers])


def build_autoencoder(units: int) -> keras.Model:
    x = keras.Input(SHAPE)
    encoder = [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(units)]
    decoder = [keras.Input((units,)), keras.layers.Dense(144, "sigmoid"), keras.layers.Reshape(SHAPE)]
    halves = keras.Sequential(encoder, name="encoder"), keras.Sequential(decoder, name="decoder")
    return keras.Model(x, halves[1](halves[0](x)))


@pytest.fixture(scope="module")
def models() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    return {"classifier": build_classifier(), "autoencoder": build_autoencoder(2), "other": build_autoencoder(5)}


@pytest.fixture(scope="module", autouse=True)
def copies(tmp_path_factory):
    """Two folders of corrupted copies of the test set, in the working directory."""
    folder = tmp_path_factory.mktemp("copies")
    for name, images in (("copies", DATA.test.images / 2), ("others", 1 - DATA.test.images[:, ::-1])):
        (folder / name).mkdir()
        np.save(folder / name / "dim_images.npy", images)
        np.save(folder / name / "dim_labels.npy", DATA.test.labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


def test_every_key_has_a_row():
    cfg = read_config(f"measure=[{','.join(MEASURES)}]")
    keys = {key.removeprefix("measure.") for key in flatten(cfg.model_dump())}
    partner_keys = {f"{partner}.{key}" for partner in PARTNERS for key in PARTNER_ROWS}
    assert keys == set(MEASURE_ROWS) | partner_keys | set(COMMAND_ROWS)


# Keys of the measures

BASE = {
    "denoising": ["levels=[0.1,0.6]", "draws=1", "quality_images=3", "shown_levels=[0.3]"],
    "files": ["path=copies"],
    "gaussian": ["stddevs=[0.1,0.6]", "draws=1"],
    "latent": ["k=3", "neighbours_from=20"],
    "salt_and_pepper": ["levels=[0.1,0.6]", "draws=1"],
    "shift": ["max_pixels=2", "directions=[right,up]", "fills=[wrap,zero]"],
    "synthesis": ["samples=3", "noise_level=0.6", "mixture.components=2", "mixture.max_dimensions=2", "mixture.keep=1"],
}
METHODS = {
    *("interpolation_within", "interpolation_between", "salted_codes", "random_codes"),
    *("noise_codes_corrupted", "noise_codes_kept", "gaussian_mixture"),
}


def made(*methods: str) -> set[str]:
    """What changes with these methods of synthesis."""
    return {"metrics", "table", *(f"samples/synthesis_{one}.{end}" for one in methods for end in ("png", "npz"))}


# Another value, and what changes: metrics, table, and the paths of figures and arrays.
MEASURE_ROWS = {
    "denoising.noise": ("gaussian", {"metrics", "table", "samples/denoised.png", "samples/denoised.npz"}),
    "denoising.levels": ("[0.1,0.5]", {"metrics", "table"}),
    "denoising.draws": ("2", {"metrics", "table"}),
    "denoising.seed": ("1", {"metrics", "table", "samples/denoised.png", "samples/denoised.npz"}),
    "denoising.quality_images": ("4", {"table"}),
    "denoising.shown_levels": ("[0.3,0.4]", {"samples/denoised.png", "samples/denoised.npz"}),
    "feature_maps.digits": ("[3]", {"metrics", "table", "samples/feature_maps.npz"}),
    "feature_maps.layers": ("[conv]", {"metrics", "table", "samples/feature_maps.npz"}),
    # The network, which nobody trained, answers one class.
    "files.path": ("others", {"table", "samples/conditions.png"}),
    "gaussian.stddevs": ("[0.1,0.5]", {"metrics", "table"}),
    "gaussian.draws": ("2", {"metrics", "table"}),
    "gaussian.seed": ("1", {"metrics", "table"}),
    "latent.k": ("9", {"metrics", "table"}),
    "latent.neighbours_from": ("40", {"metrics", "table"}),
    "rotation.degrees": ("[-90.0,90.0]", {"metrics", "table"}),
    "salt_and_pepper.levels": ("[0.1,0.5]", {"metrics", "table"}),
    "salt_and_pepper.draws": ("2", {"metrics", "table"}),
    "salt_and_pepper.seed": ("1", {"metrics", "table"}),
    "shift.max_pixels": ("3", {"metrics", "table", "samples/shifted.png"}),
    "shift.directions": ("[right,down_left]", {"metrics", "table", "samples/shifted.png"}),
    "shift.fills": ("[zero]", {"metrics", "table", "samples/shifted.png"}),
    "synthesis.ways": ("[salted_codes]", made(*METHODS - {"salted_codes"})),
    # The first noise that is drawn is the same, and no more of it is shown.
    "synthesis.samples": ("4", made(*METHODS - {"noise_codes_corrupted"})),
    "synthesis.seed": ("1", made(*METHODS)),
    "synthesis.salt_level": ("0.9", made("salted_codes")),
    "synthesis.noise_level": ("0.7", made("noise_codes_corrupted", "noise_codes_kept")),
    "synthesis.mixture.components": ("1", made("gaussian_mixture")),
    "synthesis.mixture.max_dimensions": ("1", made("gaussian_mixture")),
    "synthesis.mixture.keep": ("0.3", made("gaussian_mixture")),
}


def describe_figure(figure) -> list:
    """All that is written and shown."""
    axes = figure.axes[0]
    return [
        [text.get_text() for text in axes.texts],
        [np.asarray(image.get_array()).tobytes() for image in axes.images],
    ]


def measure(models, name: str, *overrides: str) -> dict[str, object]:
    """What a measure finds: comparable values by the names that the rows use."""
    settings = [f"measure.{name}.{override}" for override in (*BASE.get(name, []), *overrides)]
    config = dict(read_config(f"measure={name}", *settings).measure)[name]
    module = find_module(config)
    kinds = {"classification": "classifier", "reconstruction": "autoencoder"}
    loaded = {key: LoadedModel("id", key, model, 1.0, 100) for key, model in models.items()}
    partners = {"denoiser": loaded["other"], "judge": loaded["classifier"]}
    result = module.measure(name, config, Subject(loaded[kinds[module.TASKS[0]]], DATA, partners))
    return {
        "metrics": result.metrics,
        "table": result.tables[f"tables/{name}.json"].to_csv(),
        **{path: describe_figure(figure) for path, figure in result.figures.items()},
        **{
            path: {key: np.asarray(value).tobytes() for key, value in arrays.items()}
            for path, arrays in result.arrays.items()
        },
    }


@pytest.fixture(scope="module")
def bases(models) -> dict[str, dict[str, object]]:
    return {name: measure(models, name) for name in MEASURES}


@pytest.mark.parametrize("key", MEASURE_ROWS)
def test_a_key_of_a_measure_changes_what_it_is_for(models, bases, key):
    name, _, setting = key.partition(".")
    value, expected = MEASURE_ROWS[key]
    base, found = bases[name], measure(models, name, f"{setting}={value}")
    assert {part for part in base.keys() | found.keys() if base.get(part) != found.get(part)} == expected


# Keys of the command, on runs in a store that nobody trained

# Another value, and what is seen of it; all else that is seen is as without it.
COMMAND_ROWS = {
    "run_ids": ("[{ids[1]}]", {"states": {1: "done before"}}),
    "filter": ("'params.seed = \"0\"'", {"states": {0: "measured"}}),
    "choose": ("best", {"states": {0: "measured"}}),
    "resume": ("false", {"states": {0: "measured", 1: "measured"}, "alone_since": {False}}),
    "batch_size": ("16", {"batches": [16, 16, 8]}),
    "threads": ("3", {"threads": {3}}),
    "data.path": ("elsewhere.npz", {"data": {("mnist", "elsewhere.npz")}}),
    "data.mnist_npz": ("elsewhere.npz", {"data": {("mnist", "elsewhere.npz")}}),
    "tracking.experiment_name": ("another", {"states": {2: "measured"}}),
    "tracking.uri": ("sqlite:///{folder}/other.db", {"uri": "other.db"}),
    "tracking.patience": ("7", {"patience": {7}}),
    "tracking.undelivered_dir": ("kept", {"undelivered": {"kept"}}),
    "tracking.stale_after": ("900", {"stale_after": {900}}),
    "tracking.changed_code": ("retrain", {"states": {0: "measured", 1: "measured"}}),
}


@dataclass(frozen=True)
class Store:
    """Training runs: seeds 0 and 1, of which 0 is better, in mnist_flow, and seed 2 in another experiment."""

    folder: Path
    ids: tuple[str, ...]


def add_run(client, folder: Path, experiment: str, seed: int, kind: str, **metrics: float) -> str:
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment, str(folder / experiment))
    run_id = client.create_run(experiment_id, tags={tracking.KIND_TAG: "train"}, run_name=f"seed={seed}").info.run_id
    for key, value in {"data.name": "mnist", "data.validation": "test", "model.name": kind, "seed": seed}.items():
        client.log_param(run_id, key, value)
    for key, value in metrics.items():
        client.log_metric(run_id, key, value)
    model = client.create_logged_model(experiment_id, "model", run_id)
    client.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model.model_id, 0)])
    client.set_terminated(run_id, "FINISHED")
    return run_id


@pytest.fixture(scope="module")
def watched(models):
    """What the command asks for, by name; models and data are as good as loaded."""
    seen = SimpleNamespace()
    start_run, fetch_past_runs, deliver = tracking.start_run, tracking.fetch_past_runs, tracking.deliver_kept_records

    def start(*arguments, **options):
        seen.patience.add(options["options"].patience)
        seen.undelivered.add(str(options["options"].undelivered_dir))
        seen.stale_after.add(options["stale_after"])
        seen.alone_since.add(options["alone_since"] is not None)
        return start_run(*arguments, **options)

    def fetch_past(*arguments, **options):
        seen.stale_after.add(options["stale_after"])
        return fetch_past_runs(*arguments, **options)

    def deliver_kept(folder):
        seen.undelivered.add(str(folder))
        return deliver(folder)

    def load_data(name, path, module, options):
        seen.data.add((name, path))
        return DATA

    def predict_on_batch(x):
        seen.batches.append(len(x))
        return type(models["classifier"]).predict_on_batch(models["classifier"], x)

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MNIST_NPZ", raising=False)
        patch.setattr(tracking, "start_run", start)
        patch.setattr(tracking, "fetch_past_runs", fetch_past)
        patch.setattr(tracking, "deliver_kept_records", deliver_kept)
        patch.setattr(tracking, "load_model", lambda run: models[run.params["model.name"]])
        patch.setattr("mnist_flow.evaluation.plan.load_data_set", load_data)
        patch.setattr("mnist_flow.training.devices.configure_tensorflow", lambda threads: seen.threads.add(threads))
        patch.setattr(models["classifier"], "predict_on_batch", predict_on_batch)
        yield seen


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, new_store, watched) -> Store:
    """A store where seed 1 is measured, by another version of the code."""
    folder = tmp_path_factory.mktemp("prepared")
    shutil.copy(new_store, folder / "mlflow.db")
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = [("mnist_flow", 0, 0.9), ("mnist_flow", 1, 0.8), ("another", 2, 0.7)]
    ids = [add_run(client, folder, name, seed, "classifier", val_accuracy=value) for name, seed, value in runs]
    evaluate(watched, folder, f"run_ids=[{ids[1]}]", f"tracking.uri='{client.tracking_uri}'")
    (evaluation,) = client.search_runs(
        [client.get_experiment_by_name("mnist_flow").experiment_id], "tags.`mnist_flow.kind` = 'evaluation'"
    )
    client.set_tag(evaluation.info.run_id, tracking.CODE_TAG, "another")
    for kind in ("classifier", "autoencoder"):
        for best in (0, 1):
            for seed in (0, 1):
                add_run(client, folder, f"{kind}_best_{best}", seed, kind, val_loss=float(seed != best))
    mlflow.set_tracking_uri(None)
    return Store(folder, tuple(ids))


def evaluate(watched, folder: Path, *overrides: str) -> dict[str, object]:
    """Run the command; what is seen of it."""
    watched.__dict__.clear()
    for name in ("patience", "undelivered", "stale_after", "alone_since", "data", "threads"):
        setattr(watched, name, set())
    watched.batches = []
    with initialize_config_dir(CONF_DIR, version_base="1.3"), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        summary = evaluate_runs(
            compose("evaluate", ["measure=rotation", "measure.rotation.degrees=[90.0]", *overrides])
        )
    states = summary.set_index("seed")["state"].to_dict()
    return {
        **vars(watched),
        "states": states,
        "metrics": summary[["mean accuracy", "worst accuracy"]].drop_duplicates().to_numpy().tolist(),
        "uri": tracking.get_uri().rpartition("/")[2],
    }


@pytest.fixture
def own_store(prepared, tmp_path):
    """The prepared store, copied, so that what one test measures is new to the others."""
    for name in ("mlflow.db", "other.db"):
        shutil.copy(prepared.folder / "mlflow.db", tmp_path / name)
    yield Store(tmp_path, prepared.ids)
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="module")
def usual(prepared, watched, tmp_path_factory):
    """What is seen without another value."""
    folder = tmp_path_factory.mktemp("usual")
    shutil.copy(prepared.folder / "mlflow.db", folder / "mlflow.db")
    return evaluate(watched, folder, f"tracking.uri='sqlite:///{folder / 'mlflow.db'}'")


def test_what_is_seen_without_other_values(usual):
    # In the order of the runs, whichever was measured first.
    assert list(usual["states"]) == [0, 1]
    assert usual == {
        "states": {0: "measured", 1: "done before"},
        "alone_since": {True},
        "batches": [40],
        "threads": {1},
        "data": {("mnist", None)},
        "uri": "mlflow.db",
        "patience": {120},
        "undelivered": {"undelivered"},
        "stale_after": {600},
        "metrics": usual["metrics"],
    }


@pytest.mark.parametrize("key", COMMAND_ROWS)
def test_a_key_of_the_command_changes_what_it_is_for(own_store, watched, usual, key):
    value, expected = COMMAND_ROWS[key]
    overrides = {"tracking.uri": f"sqlite:///{own_store.folder / 'mlflow.db'}"}
    overrides[key] = value.format(ids=own_store.ids, folder=own_store.folder)
    found = evaluate(watched, own_store.folder, *(f"{one}={text}" for one, text in overrides.items()))
    if "states" in expected:
        # Other evaluations are made, more of them, fewer or none.
        compared = {"states", "alone_since"} & set(expected)
        assert {name: found[name] for name in compared} == expected
        assert len(found["batches"]) == list(found["states"].values()).count("measured")
    else:
        assert found == usual | expected


# Keys of partners: which other runs take part

USUAL = ["experiment_name={kind}_best_0", "choose=best"]
# Overrides below the partner, and the run that takes part with the measured run of seed 1: experiment and seed.
PARTNER_ROWS = {
    "run_id": (["run_id={ids[0]}"], ("mnist_flow", "0")),
    "experiment_name": (["experiment_name={kind}_best_1", "choose=best"], ("{kind}_best_1", "1")),
    "filter": ([*USUAL, "filter='params.seed = \"1\"'"], ("{kind}_best_0", "1")),
    "choose": (["experiment_name={kind}_best_0", "choose=same_seed"], ("{kind}_best_0", "1")),
}


@pytest.mark.parametrize("key", PARTNER_ROWS)
@pytest.mark.parametrize("partner", PARTNERS)
def test_a_key_of_a_partner_chooses_its_run(own_store, watched, partner, key):
    measure_name, _, name = partner.partition(".")
    kind = "classifier" if name == "judge" else "autoencoder"
    others = {"judge": ["sharpener"], "sharpener": ["judge"]}.get(name, [])
    overrides, (experiment, seed) = PARTNER_ROWS[key]

    def plan(*settings: str):
        watched.data, watched.stale_after = set(), set()
        chosen = [setting.format(kind=kind, ids=own_store.ids) for setting in settings]
        config = read_config(
            f"measure={measure_name}",
            *(f"measure.{partner}.{one}" for one in chosen),
            *(f"measure.{measure_name}.{other}.experiment_name=classifier_best_0" for other in others),
        )
        (evaluation,), troubles = plan_evaluations(config, [measured])
        assert troubles == []
        return evaluation

    tracking.configure(f"sqlite:///{own_store.folder / 'mlflow.db'}")
    measured = tracking.fetch_logged_run(own_store.ids[1])
    usual, found = plan(*USUAL), plan(*overrides)
    assert usual.partners[name].params["seed"] == "0"
    client = mlflow.MlflowClient(tracking.get_uri())
    chosen = found.partners[name]
    assert client.get_experiment(chosen.experiment_id).name == experiment.format(kind=kind)
    assert chosen.params["seed"] == seed
    assert found.fingerprint != usual.fingerprint
