"""Each study from a store of synthetic runs to its files: figures by their data, tables by their values, messages."""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnist_flow import CONF_DIR
from mnist_flow.analysis import printing
from mnist_flow.analysis import study as story
from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.studies import cnn, compare, curves
from mnist_flow.analysis.study import run_study
from mnist_flow.config.analyze import AnalyzeConfig
from mnist_flow.config.options import find_module, list_options
from mnist_flow.config.validation import validate_config
from mnist_flow.errors import ConfigError, TrackingError
from synthetic import SyntheticSweep

DIGITS = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
# Everything is right but for 10 fours taken for nines.
GOOD = np.diag(DIGITS) - 10 * np.outer(np.eye(10)[4], np.eye(10)[4] - np.eye(10)[9]).astype(int)
# Always eight.
STUCK = np.outer(DIGITS, np.eye(10)[8]).astype(int)


@pytest.fixture(scope="module")
def filled(tmp_path_factory, new_store) -> Path:
    """A store with runs of some presets; that of regularization lacks one, and it has a run without matrix."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copy(new_store, folder / "mlflow.db")
    before = Path.cwd()
    os.chdir(folder)
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for name, seeds in (("regularization", 3), ("regularization_holdout", 4)):
        sweep = SyntheticSweep(client, name, [f"experiment={name}"], note=f"experiment={name}")
        for reg, accuracy in ((0.0, 0.981), (1e-6, 0.982), (1e-3, 0.980)):
            for seed in range(seeds):
                missing = name == "regularization" and reg == 1e-3 and seed == 2
                sweep.add(accuracy + seed * 1e-4, reg=reg, seed=seed, finished=not missing)
        sweep.end("KILLED" if name == "regularization" else "FINISHED")
    sweep = SyntheticSweep(client, "learning_rate", ["experiment=learning_rate"])
    for rate, accuracy in ((0.01, 0.93), (0.1, 0.96), (0.5, 0.978)):
        for seed in range(2):
            sweep.add(accuracy + seed * 1e-3, optimizer__learning_rate=rate, seed=seed)
    sweep.end()
    sweep = SyntheticSweep(client, "width", ["experiment=width"])
    for rate in (0.01, 0.1):
        for units in (10, 100, 1000):
            counted = {"n_parameters": 795 * units + 10}
            settings = {"model__hidden_units": [units], "optimizer__learning_rate": rate}
            sweep.add(0.9 + rate * 0.5 + units * 1e-5, metrics=counted, **settings)
    sweep.end()
    sweep = SyntheticSweep(client, "noise_layer", ["experiment=noise_layer"])
    for stddev, accuracy, confusion in ((0.1, 0.978, GOOD), (1, 0.957, GOOD), (10, 0.0974, STUCK)):
        for seed in range(2):
            sweep.add(accuracy, noise__stddev=stddev, seed=seed, confusion=confusion)
    sweep.end()
    for name in ("cnn_45_60", "lenet5"):
        sweep = SyntheticSweep(client, name, [f"experiment={name}"])
        for seed in range(2):
            # The second run of each has no confusion matrix.
            sweep.add(0.99 + seed * 1e-3, epochs=5, seed=seed, confusion=GOOD if seed == 0 else None)
        sweep.end()
    # No job of it is finished, and the list of its jobs was never logged.
    SyntheticSweep(client, "cnn_20_40", ["experiment=cnn_20_40"])
    os.chdir(before)
    return folder


@pytest.fixture
def draw(filled, tmp_path, monkeypatch, snapshot):
    """Run a study with overrides and return its drawing and its result; its tables and its output are the snapshot's.

    The files of figures are empty without `render`, since rendering takes most of the time.
    """
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{filled / 'mlflow.db'}")
    kept: list[Drawing] = []
    save = story.save_drawing
    monkeypatch.setattr(story, "save_drawing", lambda drawing, *rest: (kept.append(drawing), save(drawing, *rest))[1])

    def run(*overrides: str, render: bool = False):
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("analyze", [f"output_dir={tmp_path / 'out'}", *overrides])
        with monkeypatch.context() as patch:
            if not render:
                patch.setattr(Figure, "savefig", lambda _, file, **__: file.touch())
            with redirect_stdout(StringIO()) as output:
                result = run_study(cfg)
        sys.stdout.write(output.getvalue())
        tables = [f"{what}:\n{table.to_csv(index=False, float_format='%.6g')}" for what, table in result.tables.items()]
        told = "\n".join([*tables, *result.missing, output.getvalue()])
        assert re.sub(f"[0-9a-f]{{32}}|{tmp_path}|{filled}", "…", told) == snapshot
        return kept[-1], result

    yield run
    mlflow.set_tracking_uri(None)


def labels(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


STUDIES = sorted(path.stem for path in Path(CONF_DIR, "study").glob("*.yaml"))


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_named_like_its_file_and_its_module_can_draw_it(compose_config, name):
    config = validate_config(compose_config(f"study={name}", config_name="analyze"), AnalyzeConfig)
    assert config.study.name == name
    assert config.study.filter is None
    assert callable(find_module(config.study).draw)


def test_every_module_of_a_study_belongs_to_a_file():
    assert set(list_options("mnist_flow.analysis.studies")) <= set(STUDIES)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["study=width", "study.x=reg"], "study.x=reg: must be 'model.hidden_units'"),
        (["study=noise_layer", "study.x=reg"], "study.x=reg: must be 'noise.stddev'"),
        (["study.scale=cubic"], "study.scale=cubic: must be 'linear' or 'log'"),
        (["study.experiments=[]"], "study.experiments=[]: "),
        (["study=confusion", "study.pairs=0"], "study.pairs=0: must be greater than or equal to 1"),
        (["study=shift", "study.directions=[]"], "study.directions=[]: "),
    ],
)
def test_bad_keys_of_a_study_are_told(compose_config, overrides, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        validate_config(compose_config(*overrides, config_name="analyze"), AnalyzeConfig)


def test_regularization(draw, tmp_path, filled):
    drawing, result = draw("study=regularization", render=True)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"regularization{end}" for end in (".csv", ".png", ".svg", "_differences.csv")]
    assert sorted(path.name for path in result.files) == written
    table = pd.read_csv(tmp_path / "out/regularization.csv")
    assert table[["reg", "n"]].to_numpy().tolist() == [[0, 3], [1e-6, 3], [1e-3, 2]]
    differences = pd.read_csv(tmp_path / "out/regularization_differences.csv")
    assert differences[["reg", "reference", "n"]].to_numpy().tolist() == [[1e-6, 0, 3], [1e-3, 0, 2]]
    np.testing.assert_allclose(differences["difference"], [0.001, -0.001], atol=1e-12)
    assert {"published: 001-2.4b, each run", "published: 004-2.4, each run"} <= set(labels(drawing.figures[""]))
    client = mlflow.MlflowClient()
    (parent,) = client.search_runs(
        [client.get_experiment_by_name("regularization").experiment_id], "tags.`mnist_flow.kind` = 'sweep'"
    )
    logged = {Path(file.path).name for file in client.list_artifacts(parent.info.run_id, "analysis/regularization")}
    assert logged == set(written)


def test_a_half_finished_sweep_says_what_is_missing(draw, caplog):
    _, result = draw("study=regularization")
    (line,) = result.missing
    assert line.startswith("1 of 9 jobs of sweep ")
    assert line.endswith(
        "are not finished (reg=0.001 seed=2); make them: python -m mnist_flow.train -m experiment=regularization"
    )
    assert line in caplog.text


def test_runs_that_the_filter_leaves_out_are_not_missing(draw):
    drawing, result = draw("study=regularization", "study.filter='params.reg = \"1e-06\"'")
    assert drawing.tables[""]["reg"].tolist() == [1e-6]
    assert [line.partition(" of ")[0] for line in result.missing] == ["1"]


def test_the_honest_twin_chooses_on_held_out_images(draw, tmp_path):
    drawing, result = draw("study=regularization", "tracking.experiment_name=regularization_holdout")
    assert result.missing == []
    assert drawing.figures[""].axes[0].get_ylabel() == "validation accuracy"
    assert "held-out" in drawing.figures[""].get_suptitle()
    (chosen,) = pd.read_csv(tmp_path / "out/regularization-regularization_holdout_selection.csv").to_dict("records")
    assert chosen["setting"] == "mlp_500_300, reg=1e-06"
    assert (chosen["settings"], chosen["n"]) == (3, 4)
    assert chosen["mean"] == pytest.approx(0.98215)
    assert chosen["std"] == pytest.approx(0.000129099, abs=1e-8)
    assert chosen["sem"] == pytest.approx(0.0000645497, abs=1e-8)


def test_the_title_names_the_optimistic_protocol(draw):
    drawing, _ = draw("study=learning_rate")
    title = drawing.figures[""].get_suptitle()
    assert title == "Learning rate\nmnist, validated on the test set: choosing is optimistic"


def test_several_experiments_in_one_figure(draw):
    drawing, _ = draw("study=regularization", "study.experiments=[regularization,regularization_holdout]")
    settings = set(drawing.tables[""]["setting"])
    assert settings == {"mlp_500_300, data.validation=test", "mlp_500_300, data.validation=holdout"}


def test_an_absent_experiment_is_told_and_the_rest_goes_on(draw):
    _, result = draw("study=cnn")
    assert len(result.missing) == 5
    assert result.missing[0].startswith("experiment 'cnn_32_64_pool2': no finished runs at sqlite:///")
    assert result.missing[0].endswith("make them: python -m mnist_flow.train -m experiment=cnn_32_64_pool2")
    assert [line.partition(":")[0] for line in result.missing if "cnn_20_40" in line] == ["experiment 'cnn_20_40'"]


def test_an_experiment_without_runs_is_an_error_with_its_command(draw):
    with pytest.raises(TrackingError, match=r"make them: python -m mnist_flow\.train -m experiment=mlp_1000"):
        draw("study=curves", "tracking.experiment_name=mlp_1000")
    with pytest.raises(TrackingError, match="did you mean 'regularization'"):
        draw("study=regularization", "tracking.experiment_name=regularisation")


def test_the_variables_of_mlflow_win(draw, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "regularization_holdout")
    drawing, _ = draw("study=regularization")
    assert drawing.tables[""]["n"].tolist() == [4, 4, 4]
    client = mlflow.MlflowClient()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.get_experiment_by_name("learning_rate").experiment_id)
    drawing, _ = draw("study=learning_rate")
    assert drawing.tables[""]["optimizer.learning_rate"].tolist() == [0.01, 0.1, 0.5]


def test_under_mlflow_run_the_files_are_told_by_their_whole_paths(draw, tmp_path, filled, monkeypatch, capsys):
    client = mlflow.MlflowClient(f"sqlite:///{filled / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run("0", tags={"mlflow.project.backend": "local"}).info.run_id)
    monkeypatch.chdir(tmp_path)
    draw("study=learning_rate", "output_dir=figures")
    assert f"written: {tmp_path / 'figures' / 'learning_rate.png'} " in capsys.readouterr().out


def test_learning_rate(draw):
    drawing, _ = draw("study=learning_rate")
    upper, lower = drawing.figures[""].axes
    assert upper.get_xscale() == lower.get_xscale() == "log"
    assert drawing.tables["differences"]["reference"].tolist() == [0.1, 0.1]
    assert "published: 000-2B, mean of 3" in labels(drawing.figures[""])


def test_width(draw):
    drawing, _ = draw("study=width", render=True)
    figure, table = drawing.figures[""], drawing.tables[""]
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "100", "1000"]
    (above,) = axes.child_axes
    assert [label.get_text() for label in above.get_xticklabels()] == ["7,960", "79,510", "795,010"]
    assert len(axes.containers) == 2
    assert table["n_parameters"].tolist() == [7960, 79510, 795010] * 2
    (mark,) = [line for line in axes.lines if line.get_label() == "published: 000-2C, one run"]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([1000], [0.975])


def test_width_of_deeper_networks_is_an_error(draw):
    with pytest.raises(ConfigError, match=r"has not one hidden layer \(model\.hidden_units=\[500, 300\]\)"):
        draw("study=width", "tracking.experiment_name=regularization")


def test_noise_layer_shows_what_a_collapsed_run_answers(draw):
    drawing, _ = draw("study=noise_layer", render=True)
    assert set(drawing.figures) == {"", "predictions", "curves_accuracy", "curves_loss"}
    *_, last = [axes for axes in drawing.figures["predictions"].axes if axes.get_title()]
    assert last.get_title() == "noise_layer: noise.stddev=10\nn = 2, 2 of them answer only 8"
    assert [bar.get_height() for bar in last.patches[:10]] == [0.0] * 8 + [1.0, 0.0]
    (legend,) = drawing.figures["predictions"].legends
    assert {"mean of the runs", "one run"} <= {text.get_text() for text in legend.get_texts()}
    table = drawing.tables["predictions"]
    assert table.loc[table["only_answer"] > 0, "digit"].tolist() == [8]
    # The collapsed runs have a range of their own.
    assert len(drawing.figures[""].axes) == 3


def test_runs_that_all_had_the_same_noise_have_no_axis_for_it(draw):
    drawing, _ = draw("study=noise_layer", "study.filter='params.`noise.stddev` = \"10\"'")
    assert set(drawing.figures) == {"predictions", "curves_accuracy", "curves_loss"}


def test_curves(draw):
    drawing, _ = draw("study=curves", "study.experiments=[cnn_45_60,lenet5]", render=True)
    figure = drawing.figures["accuracy"]
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == ["cnn_45_60 (n = 2)", "lenet5 (n = 2)"]
    axes = panels["cnn_45_60 (n = 2)"]
    thin = axes.collections[0].get_segments()
    assert [segment[-1].tolist() for segment in thin] == [[5, pytest.approx(0.99)], [5, pytest.approx(0.991)]] or [
        segment[-1].tolist() for segment in thin
    ] == [[5, pytest.approx(0.991)], [5, pytest.approx(0.99)]]
    means = {line.get_label(): line for line in axes.lines}
    assert means["validation"].get_ydata()[-1] == pytest.approx(0.9905)
    assert list(means["published at the end, a mark a report"].get_ydata()) == [0.991]
    table = drawing.tables[""]
    assert set(table["metric"]) == {"accuracy", "val_accuracy", "loss", "val_loss"}
    assert table["n"].unique().tolist() == [2]
    assert table["epoch"].max() == 5


def test_cnn(draw):
    drawing, _ = draw("study=cnn", render=True)
    table = drawing.tables[""]
    assert table["network"].tolist() == ["cnn_45_60", "lenet5"]
    np.testing.assert_allclose(table["mean"], [0.9905, 0.9905])
    # sqrt(0.99 · 0.01 / 10,000) and sqrt(0.991 · 0.009 / 10,000)
    np.testing.assert_allclose(table["binomial_standard_error"], [(0.000994987 + 0.000944405) / 2] * 2, atol=1e-8)
    (axes,) = drawing.figures[""].axes
    assert axes.get_yticklabels()[0].get_text() == "cnn_45_60\n79,510 parameters, n = 2"
    assert axes.get_xlabel() == "test accuracy"
    (published,) = [line for line in axes.lines if line.get_label() == "published"]
    assert list(published.get_xdata()) == [0.991, 0.9919]


def test_the_error_of_a_test_is_drawn_where_it_is_known_and_up_to_100_percent():
    runs = pd.DataFrame(
        {
            "network": ["a", "a", "b"],
            "test_accuracy": [1.0, 0.999, 1.0],
            "test_accuracy_standard_error": [0.0, 0.001, 0.0],
            "n_parameters": 10,
            "data.name": "digits",
        }
    )
    summary = cnn.summarise_networks(runs, "test_accuracy")
    np.testing.assert_allclose(summary["binomial_standard_error"], [0.001, np.nan])
    published = pd.DataFrame({"network": [], "value": []})
    (axes,) = cnn.plot_networks(runs, summary, published, "test_accuracy", "title").axes
    (bars,) = [one for one in axes.collections if one.get_label().startswith("± binomial")]
    assert bars.get_segments()[0][:, 0].tolist() == [pytest.approx(0.9985), 1]


def test_confusion_goes_on_without_runs_that_have_no_matrix(draw, caplog):
    drawing, _ = draw("study=confusion", "study.experiments=[cnn_45_60,lenet5]", render=True)
    assert caplog.text.count("its artifact confusion_matrix/confusion_matrix.json can't be had") == 2
    pairs = drawing.tables["pairs"]
    assert pairs[["panel", "true", "predicted", "n"]].to_numpy().tolist() == [
        ["cnn_45_60", 4, 9, 1],
        ["lenet5", 4, 9, 1],
    ]
    np.testing.assert_allclose(pairs["mean"], [10 / 982] * 2)
    axes = drawing.figures[""].axes[0]
    assert "1.02" in [text.get_text() for text in axes.texts]


def test_confusion_without_any_matrix_is_an_error(draw):
    with pytest.raises(
        TrackingError, match=r"none of the 6 runs has the artifact confusion_matrix/confusion_matrix\.json"
    ):
        draw("study=confusion", "tracking.experiment_name=learning_rate")


def test_compare_categories(draw):
    drawing, _ = draw("study=compare", "study.experiments=[cnn_45_60,lenet5]", render=True)
    axes = drawing.figures[""].axes[-1]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cnn_45_60", "lenet5"]
    differences = drawing.tables["differences"]
    assert differences[["model.name", "reference", "n"]].to_numpy().tolist() == [["lenet5", "cnn_45_60", 2]]


def test_compare_tells_what_differs_beside_a_category():
    about = {"experiment": "e", "data.name": "mnist", "data.validation": "holdout", "seed": 0}
    runs = pd.DataFrame(
        [
            {**about, "run_id": "a", "model.name": "mlp_100", "epochs": 5, "reg": 0, "val_accuracy": 0.9},
            {**about, "run_id": "b", "model.name": "lenet5", "epochs": 20, "reg": 0, "val_accuracy": 0.95},
        ]
    ).assign(test_accuracy=0.8)
    config = compare.Config(
        name="compare",
        experiments=["e"],
        filter=None,
        metric=None,
        x="model.name",
        by=None,
        reference=None,
        title=None,
        x_label=None,
        scale=None,
    )
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    drawing = compare.draw(StudyRuns(runs, published, []), config)
    axes = drawing.figures[""].axes[-1]
    assert axes.get_xlabel() == "model.name\nthey differ in epochs, too"
    # Held-out images choose, so that the test images are not looked at.
    assert drawing.metric == "val_accuracy"
    same = compare.draw(StudyRuns(runs.assign(epochs=5), published, []), config)
    assert same.figures[""].axes[-1].get_xlabel() == "model.name"
    named = compare.draw(StudyRuns(runs, published, []), config.model_copy(update={"x_label": "network"}))
    assert named.figures[""].axes[-1].get_xlabel() == "network\nthey differ in epochs, too"
    # Also where a param tells lines apart, and each line has runs of several epochs.
    pooled = StudyRuns(pd.concat([runs, runs.assign(epochs=7, reg=1)], ignore_index=True), published, [])
    by_model = compare.draw(pooled, config.model_copy(update={"x": "reg", "by": "model.name"}))
    assert by_model.figures[""].axes[-1].get_xlabel() == "reg\nthey differ in epochs, too"


def test_compare_leaves_out_runs_without_the_metric_and_says_so(caplog):
    about = {"data.name": "mnist", "data.validation": "test", "seed": 0}
    runs = pd.DataFrame(
        [
            {**about, "experiment": "digits", "run_id": "a", "model.name": "mlp_100", "test_accuracy": 0.9},
            {**about, "experiment": "images", "run_id": "b", "model.name": "autoencoder"},
            {**about, "experiment": "images", "run_id": "c", "model.name": "cvae"},
        ]
    ).assign(test_loss=0.5)
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = validate_config(compose("analyze", ["study=compare"]), AnalyzeConfig).study
    drawing = compare.draw(StudyRuns(runs, published, []), config)
    assert drawing.tables[""]["model.name"].tolist() == ["mlp_100"]
    assert "2 runs of experiment images left out: without test_accuracy" in caplog.text
    of_images = compare.draw(StudyRuns(runs.iloc[1:], published, []), config)
    assert of_images.metric == "test_loss"
    assert of_images.tables[""]["model.name"].tolist() == ["autoencoder", "cvae"]


def test_compare_by_a_param_and_any_metric(draw):
    drawing, _ = draw(
        *("study=compare", "tracking.experiment_name=width", "study.metric=fit_seconds", "study.x=model.hidden_units"),
        *("study.by=optimizer.learning_rate", "study.reference=0.1"),
    )
    assert drawing.figures[""].axes[0].get_ylabel() == "training time (s)"
    assert set(drawing.tables[""]["setting"]) == {"optimizer.learning_rate=0.01", "optimizer.learning_rate=0.1"}
    assert set(drawing.tables["differences"]["reference"]) == {"optimizer.learning_rate=0.1"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "study.metric=test_acuracy",
            r"study\.metric=test_acuracy: the runs have no such metric; did you mean 'test_ac",
        ),
        (
            "study.x=learning_rate",
            r"study\.x=learning_rate: .* did you mean 'optimizer\.learning_rate'\? Choices: augm",
        ),
        ("study.by=nonsense", r"study\.by=nonsense: the runs have no such param.* Choices: augmentation\.name"),
    ],
)
@pytest.mark.parametrize("study", ["compare", "learning_rate"])
def test_metrics_and_params_that_no_run_has_are_told_with_the_choices(draw, study, override, message):
    with pytest.raises(ConfigError, match=message):
        draw(f"study={study}", "tracking.experiment_name=learning_rate", override)


def test_the_same_data_gives_the_same_svg(draw, tmp_path):
    digests = set()
    for _ in range(2):
        draw("study=learning_rate", render=True)
        digests.add(hashlib.sha256((tmp_path / "out/learning_rate.svg").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_shift_compares_models_seed_by_seed(draw, tmp_path, monkeypatch):
    def fetch(measure, experiment_ids, run_ids):
        pixels = pd.DataFrame({"pixels": [0, 1], "direction": ["none", "up"], "fill": "zero", "accuracy": [0.99, 0.9]})
        about = {"data.name": "mnist", "data.validation": "test", "model.name": "cnn"}
        # The first two runs are those of one experiment, seeds 0 and 1; the others are one point better.
        return pd.concat(
            [
                pixels.assign(run_id=run_id, seed=number % 2, **about, accuracy=pixels["accuracy"] + number // 2 / 100)
                for number, run_id in enumerate(run_ids)
            ],
            ignore_index=True,
        )

    monkeypatch.setattr("mnist_flow.tracking.fetch_tables", fetch)
    study = ("study=shift", "study.experiments=[lenet5,cnn_45_60]")
    drawing, _ = draw(*study, "study.reference=lenet5", render=True)
    assert drawing.figures[""].get_suptitle().endswith("\nmnist, validated on the test set: choosing is optimistic")
    assert list(dict.fromkeys(drawing.tables[""]["model"])) == ["lenet5", "cnn_45_60"]
    differences = pd.read_csv(tmp_path / "out/shift_differences.csv")
    assert differences[["pixels", "model", "reference", "n"]].to_numpy().tolist() == [
        [0, "cnn_45_60", "lenet5", 2],
        [1, "cnn_45_60", "lenet5", 2],
    ]
    np.testing.assert_allclose(differences["difference"], [0.01, 0.01])
    drawing, _ = draw(*study)
    assert set(drawing.tables) == {"", "worst"}


@pytest.mark.parametrize(
    ("study", "count"), [(("study=curves", "study.experiments=[learning_rate]"), 6), (("study=noise_layer",), 6)]
)
def test_runs_without_epoch_curves_are_an_error(draw, monkeypatch, study, count):
    columns = ["run_id", "metric", "step", "value"]
    monkeypatch.setattr("mnist_flow.tracking.fetch_histories", lambda *_: pd.DataFrame(columns=columns))
    with pytest.raises(TrackingError, match=f"^none of the {count} runs has epoch curves; train them again"):
        draw(*study)


def list_marks(figure) -> dict[str, list[float]]:
    return {
        axes.get_title().replace("\n", " "): [
            value for line in axes.lines if line.get_label().startswith("published") for value in line.get_ydata()
        ]
        for axes in figure.axes
    }


def test_curves_show_what_was_published_of_their_setting(draw):
    drawing, _ = draw("study=curves", "study.experiments=[learning_rate]")
    assert list_marks(drawing.figures["accuracy"]) == {
        "learning_rate: optimizer.learning_rate=0.01 (n = 2)": [],
        "learning_rate: optimizer.learning_rate=0.1 (n = 2)": [],
        "learning_rate: optimizer.learning_rate=0.5 (n = 2)": [0.978],
    }
    drawing, _ = draw("study=noise_layer")
    assert [len(marks) for marks in list_marks(drawing.figures["curves_accuracy"]).values()] == [1, 1, 1]
    drawing, _ = draw("study=curves", "study.experiments=[width]")
    published = {title: marks for title, marks in list_marks(drawing.figures["accuracy"]).items() if marks}
    assert published == {"width: model.hidden_units=[1000], optimizer.learning_rate=0.1 (n = 1)": [0.975]}


def test_each_panel_of_curves_tells_the_number_of_its_own_runs():
    runs = pd.DataFrame({"experiment": ["one", "two", "two"], "model.name": "mlp_100", "run_id": ["a", "b", "c"]})
    history = pd.DataFrame({"panel": ["one", "two", "two"], "run_id": ["a", "b", "c"], "value": [0.9, 0.95, 0.93]})
    history = history.assign(metric="accuracy", epoch=1)
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    figure = curves.plot_curves(history, StudyRuns(runs, published, []), "accuracy", "")
    assert [axes.get_title() for axes in figure.axes] == ["one (n = 1)", "two (n = 2)"]


def test_more_reports_than_markers():
    runs = pd.DataFrame({"experiment": "one", "model.name": "mlp_100", "reg": [0.1 + 0.2], "run_id": ["a"]})
    history = pd.DataFrame({"panel": "one", "run_id": "a", "metric": "accuracy", "epoch": [1, 2], "value": [0.9, 0.95]})
    results = [(f"000-{number}", {"reg": 0.3}, 0.9 + number / 100) for number in range(8)]
    results += [("000-9", {"reg": 0.4}, 0.5), ("000-9", {"noise.stddev": 1.0}, 0.5)]
    published = pd.DataFrame(results, columns=["row", "at", "value"]).assign(experiment="one", metric="test_accuracy")
    figure = curves.plot_curves(history, StudyRuns(runs, published, []), "accuracy", "")
    assert list(list_marks(figure).values()) == [[0.9 + number / 100 for number in range(8)]]


@pytest.mark.parametrize(
    ("panel", "title"),
    [
        ("lenet5", "lenet5 (n = 2)"),
        ("autoencoder_holdout: noise.redraw=False", "autoencoder_holdout: noise.redraw=False\n(n = 2)"),
        (
            "mlp_100: optimizer.learning_rate=0.001, batch_size=64",
            "mlp_100: optimizer.learning_rate=0.001,\nbatch_size=64 (n = 2)",
        ),
    ],
)
def test_headings_of_panels_do_not_run_into_each_other(panel, title):
    runs = pd.DataFrame({"experiment": "one", "model.name": "mlp_100", "run_id": ["a", "b"]})
    both = [
        {"panel": panel, "run_id": run_id, "metric": "accuracy", "epoch": epoch, "value": 0.9}
        for run_id in "ab"
        for epoch in (1, 2)
    ]
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    history = pd.DataFrame([*both, *({**one, "panel": "other"} for one in both)])
    figure = curves.plot_curves(history, StudyRuns(runs, published, []), "accuracy", "")
    axes = {axes.get_title(): axes for axes in figure.axes}[title]
    FigureCanvasAgg(figure).draw()
    assert axes.title.get_window_extent().width <= 1.15 * axes.get_window_extent().width


@pytest.mark.parametrize(("quantity", "first"), [("accuracy", 0.1), ("loss", 9.0)])
def test_the_first_epochs_do_not_squash_the_curves(quantity, first):
    values = [first, first, *(0.9 + number / 1000 for number in range(18))]
    history = pd.DataFrame({"panel": "one", "run_id": "a", "metric": quantity, "epoch": range(1, 21), "value": values})
    runs = pd.DataFrame({"experiment": "one", "model.name": "mlp_100", "run_id": ["a"]})
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    # The first tenth ends with epoch 2, which counts.
    short = history.assign(value=history["value"].mask(history["epoch"] == 2, 0.9))
    (axes,) = curves.plot_curves(short, StudyRuns(runs, published, []), quantity, "").axes
    low, high = axes.get_ylim()
    assert 0.89 < low < 0.9
    assert 0.917 < high < 0.93
    (axes,) = curves.plot_curves(history, StudyRuns(runs, published, []), quantity, "").axes
    assert min(axes.get_ylim()) <= first <= max(axes.get_ylim())


def test_all_epochs_of_a_short_training_are_seen():
    values = [0.1, 0.9, 0.95]
    history = pd.DataFrame({"panel": "one", "run_id": "a", "metric": "accuracy", "epoch": [1, 2, 3], "value": values})
    runs = pd.DataFrame({"experiment": "one", "model.name": "mlp_100", "run_id": ["a"]})
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    figure = curves.plot_curves(history, StudyRuns(runs, published, []), "accuracy", "")
    low, high = figure.axes[0].get_ylim()
    assert low < 0.1 < 0.95 < high
    assert "outside" not in figure.legends[0].get_title().get_text()


def test_what_has_no_accuracy_has_no_panel_of_it():
    runs = pd.DataFrame({"experiment": "one", "model.name": ["mlp_100", "cvae"], "run_id": ["a", "b"]})
    rows = [("one", "a", "accuracy", 0.8), ("one", "a", "loss", 0.4), ("two", "b", "loss", 0.2)]
    history = pd.DataFrame(
        [(*row, epoch) for row in rows for epoch in (1, 2)], columns=["panel", "run_id", "metric", "value", "epoch"]
    )
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    panels = [
        [axes.get_title() for axes in curves.plot_curves(history, StudyRuns(runs, published, []), name, "").axes]
        for name in ("accuracy", "loss")
    ]
    assert panels == [["one (n = 1)"], ["one (n = 1)", "two (n = 1)"]]


def test_a_single_epoch_is_seen():
    runs = pd.DataFrame({"experiment": "one", "model.name": "mlp_100", "run_id": ["a", "b"]})
    history = runs[["run_id"]].assign(panel="one", metric="accuracy", epoch=1, value=[0.8, 0.9])
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    for n, mean, spread in ((2, 0.85, math.sqrt(0.005)), (1, 0.8, 0.0)):
        (axes,) = curves.plot_curves(history[:n], StudyRuns(runs, published, []), "accuracy", "").axes
        shown = {line.get_marker(): line.get_ydata().tolist() for line in axes.lines}
        assert (shown["."], shown["o"]) == ([0.8, 0.9][:n], [pytest.approx(mean)])
        (bar,) = axes.containers[0][2][0].get_segments()
        assert bar[:, 1] == pytest.approx([mean - spread, mean + spread])


def test_of_many_runs_a_band_is_drawn_and_of_many_settings_the_first(monkeypatch, caplog):
    monkeypatch.setattr(curves, "_MAX_LINES", 2)
    monkeypatch.setattr(curves, "_MAX_PANELS", 2)
    runs = pd.DataFrame({"experiment": "one", "model.name": "mlp_100", "run_id": ["a", "b", "c"]})
    rows = [(panel, run, epoch, value) for panel, run, value in BANDS for epoch in (1, 2, 3)]
    history = pd.DataFrame(rows, columns=["panel", "run_id", "epoch", "value"]).assign(metric="accuracy")
    published = pd.DataFrame([], columns=["row", "at", "value", "experiment", "metric"])
    first, _ = curves.plot_curves(history, StudyRuns(runs, published, []), "accuracy", "").axes
    (outline,) = first.collections[0].get_paths()
    assert sorted(set(outline.vertices[:, 1])) == [0.8, 0.9]
    assert caplog.text == ""
    monkeypatch.setattr(curves, "_MAX_PANELS", 1)
    (only,) = curves.plot_curves(history, StudyRuns(runs, published, []), "accuracy", "").axes
    assert only.get_title() == "one (n = 2)"
    assert "2 settings; the first 1 are drawn, study.filter chooses others" in caplog.text


# Panel, run and accuracy.
BANDS = [("one", "a", 0.8), ("one", "b", 0.9), ("two", "c", 0.7)]


def test_another_experiment_does_not_replace_the_figures_of_the_study(draw, tmp_path):
    draw("study=learning_rate")
    own = {file.name for file in (tmp_path / "out").iterdir()}
    draw("study=learning_rate", "tracking.experiment_name=regularization")
    files = {file.name for file in (tmp_path / "out").iterdir()} - own
    assert files == {f"learning_rate-regularization{end}" for end in (".csv", ".png", ".svg")}
    client = mlflow.MlflowClient()
    (parent,) = client.search_runs(
        [client.get_experiment_by_name("regularization").experiment_id], "tags.`mnist_flow.kind` = 'sweep'"
    )
    logged = client.list_artifacts(parent.info.run_id, "analysis/learning_rate-regularization")
    assert {Path(file.path).name for file in logged} == files
    draw("study=learning_rate", "tracking.experiment_name=learning_rate")
    assert {file.name for file in (tmp_path / "out").iterdir()} == own | files


def test_any_name_of_an_experiment_makes_a_file_name(draw, filled, tmp_path):
    sweep = SyntheticSweep(mlflow.MlflowClient(f"sqlite:///{filled / 'mlflow.db'}"), "/Users/me/a b", [], grouped=False)
    sweep.add(0.9, epochs=1)
    draw("study=curves", "tracking.experiment_name='/Users/me/a b'")
    assert (tmp_path / "out/curves-_Users_me_a_b.csv").is_file()


@pytest.mark.parametrize(("study", "has_bars"), [("learning_rate", True), ("curves", False)])
def test_only_means_of_one_metric_have_bars(draw, monkeypatch, study, has_bars):
    bars = []
    monkeypatch.setattr(printing, "print_table", lambda *arguments: bars.append(arguments[-1]))
    draw(f"study={study}", "study.experiments=[learning_rate]")
    assert (bars[0] is not None) is has_bars


def test_tables_are_printed_in_percent(draw, capsys):
    draw("study=learning_rate")
    printed = [line.replace("│", " ").replace("┃", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert printed[0] == ["6", "runs", "of", "experiment", "'learning_rate':"]
    assert ["learning_rate:", "test_accuracy"] in printed
    assert ["learning_rate_differences:", "test_accuracy"] in printed
    # Mean and standard deviation of 0.93 and 0.931.
    (row,) = [line for line in printed if line[:3] == ["mlp_100", "0.01", "2"] and "93.05" in line]
    assert " ".join(row[3:]) == "93.05 ± 0.07 % 92.41 to 93.69 %"


def test_of_long_tables_the_first_rows_are_printed(draw, capsys, tmp_path):
    draw("study=curves", "study.experiments=[cnn_45_60,lenet5]")
    printed = capsys.readouterr().out.splitlines()
    # Two panels, four metrics, five epochs.
    assert f"20 more rows in {tmp_path / 'out/curves.csv'}" in printed
    assert sum(line.startswith("│") for line in printed) == 20


def test_what_one_run_does_not_tell_is_an_empty_cell(draw, capsys):
    draw("study=width")
    printed = capsys.readouterr().out
    assert "nan" not in printed
    assert "795010" in printed


def test_curves_of_which_nothing_was_published_have_no_marks(draw):
    drawing, _ = draw("study=noise_layer")
    assert [len(marks) for marks in list_marks(drawing.figures["curves_loss"]).values()] == [0, 0, 0]
