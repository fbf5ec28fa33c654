"""Outputs of a trained network's layers to the figure, and what the figure shows of given outputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mnist_flow import tracking
from mnist_flow.analysis.studies import feature_maps
from mnist_flow.analysis.studies.feature_maps import arrange_maps, plot_feature_maps
from mnist_flow.errors import TrackingError
from mnist_flow.models.inspection import Activation

IMAGE = np.linspace(0, 1, 784, dtype=np.float32).reshape(28, 28, 1)


def plot(*activations: tuple[str, str, np.ndarray]):
    """A figure of the image and the outputs given; returns its axes by the layer's name, and all its texts."""
    figure = plot_feature_maps(IMAGE, [Activation(*one) for one in activations], "Title")
    names = ["images", *(name for name, *_ in activations)]
    return dict(zip(names, figure.axes, strict=True)), [text.get_text() for text in figure.texts]


def get_pixels(axes) -> np.ndarray:
    (image,) = axes.images
    return np.ma.filled(image.get_array(), np.nan)


def test_maps_stand_side_by_side_with_a_gap():
    maps = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    nan = np.nan
    np.testing.assert_array_equal(arrange_maps(maps), [[0, 2, nan, 1, 3], [4, 6, nan, 5, 7]])
    # 16 a row, and the last row is not full.
    assert arrange_maps(np.ones((3, 2, 20))).shape == (7, 47)
    assert np.nansum(arrange_maps(np.ones((3, 2, 20)))) == 3 * 2 * 20


def test_all_maps_of_a_convolution_are_there_and_at_most_64():
    maps = np.random.default_rng(0).random((26, 26, 100), dtype=np.float32)
    axes, texts = plot(("conv_1", "Conv2D", maps[:, :, :32]), ("conv_2", "Conv2D", maps))
    first = get_pixels(axes["conv_1"])
    assert first.shape == (2 * 27 - 1, 16 * 27 - 1)
    np.testing.assert_array_equal(first[27:, -26:], maps[:, :, 31])
    assert get_pixels(axes["conv_2"]).shape == (4 * 27 - 1, 16 * 27 - 1)
    assert [text for text in texts if "of 100 maps" in text] == [
        f"conv_2: Conv2D, 26 × 26 × 100, from {maps.min():.3g} to {maps.max():.3g}; first 64 of 100 maps"
    ]
    np.testing.assert_array_equal(get_pixels(axes["images"]), IMAGE[:, :, 0])


def test_dense_layers_are_bars_and_long_ones_strips():
    flat, units = np.arange(784, dtype=np.float32), np.array([-1, 0, 3], np.float32)
    axes, texts = plot(("flatten", "Flatten", flat), ("dense_1", "Dense", units))
    strip = get_pixels(axes["flatten"])
    np.testing.assert_array_equal(strip, flat.reshape(4, 196))
    assert [bar.get_height() for bar in axes["dense_1"].patches] == [-1, 0, 3]
    assert "dense_1: Dense, 3, from -1 to 3, 33 % are 0" in texts
    # Each is numbered, the axis runs through zero, and the heading tells the range.
    assert axes["dense_1"].get_xticks().tolist() == [0, 1, 2]
    assert axes["dense_1"].get_yticks().tolist() == []
    assert [line.get_ydata()[0] for line in axes["dense_1"].lines] == [0]
    many, _ = plot(("dense_1", "Dense", np.ones(20, np.float32)), ("dense_2", "Dense", np.ones(21, np.float32)))
    assert [len(many[name].get_xticks()) for name in ("dense_1", "dense_2")] == [20, 0]
    # A prime number of values fills no rows.
    axes, _ = plot(("dense_1", "Dense", np.ones(257, np.float32)))
    strip = get_pixels(axes["dense_1"])
    assert strip.shape == (2, 256)
    assert np.isnan(strip).sum() == 255


def test_each_picture_is_below_its_heading_and_above_the_next():
    maps, units = np.ones((26, 26, 20), np.float32), np.array([-1, 0, 3], np.float32)
    figure = plot_feature_maps(IMAGE, [Activation("a", "Conv2D", maps), Activation("b", "Dense", units)], "Title")
    headings = [text.get_position()[1] for text in figure.texts[1:]]
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(headings) == len(boxes) == 3
    for heading, box, next_heading in zip(headings, boxes, [*headings[1:], 0], strict=True):
        assert heading > box.y1 > box.y0 > next_heading
    # Pixels are as wide as they are high.
    image, grid, _ = (box.transformed(figure.transFigure - figure.dpi_scale_trans) for box in boxes)
    assert image.width == pytest.approx(image.height)
    assert grid.width / grid.height == pytest.approx((16 * 27 - 1) / (2 * 27 - 1))


def test_colours_go_from_zero_or_below_to_the_largest():
    maps = np.array([0.5, 2], np.float32).reshape(1, 2, 1)
    axes, _ = plot(("a", "Conv2D", maps), ("b", "Conv2D", -maps), ("c", "Conv2D", 0 * maps))
    assert (axes["a"].images[0].norm.vmin, axes["a"].images[0].norm.vmax) == (0, 2)
    assert axes["b"].images[0].norm.vmin == -2
    assert axes["c"].images[0].norm(0) == 0


def test_an_image_in_colour_is_drawn_in_colour():
    image = np.random.default_rng(0).random((6, 8, 3), dtype=np.float32)
    axes = plot_feature_maps(image, [], "").axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), image)
    assert axes.get_position().height * 8 * axes.figure.get_figheight() == pytest.approx(
        axes.get_position().width * 6 * axes.figure.get_figwidth()
    )


@pytest.mark.parametrize("kind", ["Dropout", "GaussianNoise"])
def test_a_layer_of_the_training_alone_is_said_to_pass_all(kind):
    _, texts = plot(("layer", kind, np.ones((2, 2, 1), np.float32)))
    assert f"layer: {kind}, inactive at inference: passes all, 2 × 2 × 1, from 1 to 1" in texts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_study_draws_the_measured_run_of_the_lowest_seed(analyze, tmp_path, monkeypatch):
    drawn = {}
    plot_all = feature_maps.plot_feature_maps

    def keep(image, activations, title, class_names):
        drawn[title] = activations
        return plot_all(image, activations, title, class_names)

    monkeypatch.setattr(feature_maps, "plot_feature_maps", keep)
    result = analyze("study=feature_maps", "tracking.experiment_name=classifiers")
    # The newest evaluation counts; pictures of digits are not drawn as SVG.
    assert sorted(path.name for path in result.files) == [
        f"feature_maps-classifiers{end}" for end in (".csv", "_3.png", "_7.png")
    ]
    runs = tracking.fetch_runs([tracking.find_experiment("classifiers")])
    (run_id,) = [run.run_id for run in runs if run.params["seed"] == "1"]
    assert [title.splitlines()[:2] for title in drawn] == [
        [f"classifiers, seed 1, run {run_id}:", f"what each layer gives for the first test image of digit {digit}"]
        for digit in (7, 3)
    ]
    seven, three = drawn.values()
    layers = ["conv_1", "pool_1", "convolution_dropout", "flatten", "probabilities"]
    assert [one.layer for one in seven] == layers
    assert [one.output.shape for one in three] == [(26, 26, 3), (6, 6, 3), (6, 6, 3), (108,), (10,)]
    assert not np.array_equal(seven[0].output, three[0].output)
    table = pd.read_csv(tmp_path / "feature_maps-classifiers.csv")
    assert table["layer"].tolist() == layers
    assert set(table["images"]) == {2}


@pytest.mark.parametrize(("names", "rotation"), [("abc", 0), (("cat", "dog", "a very long name of a class"), 90)])
def test_the_bars_of_the_answer_have_the_names_of_the_classes(names, rotation):
    answer = Activation("probabilities", "Dense", np.array([0.1, 0.2, 0.7], np.float32))
    figure = plot_feature_maps(np.zeros((4, 4, 1), np.float32), [answer], "title", names)
    labels = figure.axes[-1].get_xticklabels()
    assert [label.get_text()[:15] for label in labels] == [name[:15] for name in names]
    assert {label.get_rotation() for label in labels} == {rotation}


def make_arrays(labels, **more):
    count = len(labels)
    maps = np.arange(count * 8, dtype=np.float32).reshape(count, 2, 2, 2)
    return {
        "images": np.arange(count * 4, dtype=np.float32).reshape(count, 2, 2, 1) / (count * 4),
        "labels": np.array(labels),
        "layers": np.array(["conv_1", "probabilities"]),
        "kinds": np.array(["Conv2D", "Dense"]),
        "output_1": maps,
        "output_2": np.eye(3, dtype=np.float32)[labels],
        **more,
    }


def draw(runs):
    return feature_maps.draw(runs.build(), feature_maps.Config(name="feature_maps", experiments=["x"], filter=None))


def test_the_newest_evaluation_of_the_lowest_seed_of_the_first_experiment_is_drawn(measured_runs):
    for experiment, seed in (("first", 2), ("second", 0), ("first", 1), ("first", 0)):
        run_id = measured_runs.train(experiment, seed)
        if (experiment, seed) == ("first", 1):
            wanted = run_id
        # The lowest seed is not measured.
        if (experiment, seed) != ("first", 0):
            measured_runs.evaluate(run_id, "feature_maps", arrays=make_arrays([0]))
            names = np.array(["cat", "dog", "frog"])
            measured_runs.evaluate(run_id, "feature_maps", arrays=make_arrays([2, 1], class_names=names))
    drawing = draw(measured_runs)
    assert (drawing.figures, list(drawing.pictures)) == ({}, ["2", "1"])
    for number, (figure, name) in enumerate(zip(drawing.pictures.values(), ("frog", "dog"), strict=True)):
        title, shown, data, _ = figure.texts[0].get_text().splitlines()
        assert title == f"first, seed 1, run {wanted}:"
        assert shown == f"what each layer gives for the first test image of class {name}"
        assert data.startswith("mnist, ")
        image, maps, answer = figure.axes
        np.testing.assert_array_equal(get_pixels(image), make_arrays([2, 1])["images"][number, :, :, 0])
        np.testing.assert_array_equal(get_pixels(maps)[:, :2], make_arrays([2, 1])["output_1"][number, :, :, 0])
        assert [label.get_text() for label in answer.get_xticklabels()] == ["cat", "dog", "frog"]
    table = drawing.tables[""]
    assert table["layer"].tolist() == ["conv_1", "probabilities"]
    assert table["images"].tolist() == [2, 2]


def test_a_single_image_is_the_figure_of_the_study_and_classes_without_names_are_digits(measured_runs):
    measured_runs.evaluate(measured_runs.train("lenet5", 0), "feature_maps", arrays=make_arrays([2]))
    (name, figure), *others = draw(measured_runs).pictures.items()
    assert (name, others) == ("", [])
    assert "for the first test image of digit 2\n" in figure.texts[0].get_text()


def test_runs_without_feature_maps_name_the_command(measured_runs):
    measured_runs.train("lenet5", 0)
    with pytest.raises(TrackingError, match=r"^study=feature_maps: no run of lenet5 is measured; measure them: python"):
        draw(measured_runs)
