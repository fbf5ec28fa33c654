import math
from functools import partial

import numpy as np
import pandas as pd
import pytest

from mnist_flow import tracking
from mnist_flow.analysis.crossings import find_crossings
from mnist_flow.analysis.studies import denoising
from mnist_flow.analysis.studies.denoising import (
    average_draws,
    plot_classes,
    plot_quality,
    plot_recall,
    tabulate_levels,
)
from mnist_flow.errors import TrackingError

LEVELS = [0.0, 0.25, 0.5, 0.75, 1.0]
NOISY, DENOISED = [0.99, 0.95, 0.7, 0.3, 0.1], [0.98, 0.97, 0.9, 0.4, 0.1]


def make_measured() -> pd.DataFrame:
    """Seed 1 is two points better where its images are denoised and half a point better where they are not; draw 1 is a
    tenth of a point worse everywhere; each digit is found a tenth of a point less often than the one before it."""
    rows = []
    for seed in (0, 1):
        for draw in (0, 1):
            for index, level in enumerate(LEVELS):
                inputs = [
                    ("noisy", "", NOISY[index] + 0.005 * seed),
                    ("denoised", "dense", DENOISED[index] + 0.02 * seed),
                ]
                for which, denoiser, recall in inputs:
                    value = recall - 0.001 * draw
                    rows.append(
                        {
                            "run_id": f"run {seed}",
                            "seed": seed,
                            "classifier": "cnn",
                            "level": level,
                            "draw": draw,
                            "input": which,
                            "denoiser": denoiser,
                            "macro_recall": value,
                            **{f"recall_{digit}": value - 0.001 * digit for digit in range(10)},
                            "psnr": math.inf if which == "noisy" and level == 0 else 20 - level + (which == "denoised"),
                            "ssim": 1 - level + (which == "denoised") / 10,
                        }
                    )
    return pd.DataFrame(rows)


@pytest.fixture
def chains() -> pd.DataFrame:
    return average_draws(make_measured(), "level")


def test_draws_are_averaged_before_seeds_are_compared(chains):
    assert list(dict.fromkeys(chains["curve"])) == ["cnn: noisy images", "cnn: denoised by dense"]
    assert len(chains) == 2 * 2 * 5
    first = chains[(chains["input"] == "noisy") & (chains["seed"] == 0) & (chains["strength"] == 0.5)]
    assert first["macro_recall"].tolist() == [pytest.approx(0.6995)]
    assert first["recall_3"].tolist() == [pytest.approx(0.6965)]


def test_the_table_of_levels_reads_as_percent(chains):
    assert tabulate_levels(chains, "level").to_dict("records") == [
        {"curve": "cnn: noisy images", "n": 2, "level 0": "99.20 ± 0.35 %", "level 0.5": "70.20 ± 0.35 %"},
        {"curve": "cnn: denoised by dense", "n": 2, "level 0": "98.95 ± 1.41 %", "level 0.5": "90.95 ± 1.41 %"},
    ]


def list_means(axes) -> dict[str, np.ndarray]:
    """Ordinates of the lines with error bars, by their names in the legend."""
    return {one.get_label(): one.lines[0].get_ydata().astype(float) for one in axes.containers}


def test_the_curves_hold_every_seed_and_the_means(chains):
    whole, near = plot_recall(chains, find_crossings(chains), "title", "level").axes
    for axes in (whole, near):
        drawn = list_means(axes)
        np.testing.assert_allclose(drawn["cnn: denoised by dense"], np.array(DENOISED) + 0.01 - 0.0005)
        np.testing.assert_allclose(drawn["cnn: noisy images"], np.array(NOISY) + 0.0025 - 0.0005)
        points = [line.get_ydata() for line in axes.lines if line.get_alpha() == 0.3]
        np.testing.assert_allclose(points[0], np.array([NOISY, np.array(NOISY) + 0.005]).ravel() - 0.0005)
    assert whole.get_xlabel() == "noise level (share of pixels replaced by 0 or 1)"


def test_crossing_points_are_marked_near_the_top_in_the_colour_of_their_curve(chains):
    _, near = plot_recall(chains, find_crossings(chains), "title", "level").axes
    (mark,) = [line for line in near.lines if line.get_linestyle() == ":"]
    # Seed 0 crosses at a third of the way to 0.25; seed 1 loses nothing at 0.
    assert mark.get_xdata() == pytest.approx([0.25 / 6] * 2)
    denoised = near.containers[1]
    assert denoised.get_label() == "cnn: denoised by dense"
    assert mark.get_color() == denoised.lines[0].get_color() != near.containers[0].lines[0].get_color()
    (crossing,) = find_crossings(chains).itertuples()
    (interval,) = near.patches
    assert interval.get_x() == pytest.approx(crossing.ci_low)
    assert interval.get_x() + interval.get_width() == pytest.approx(crossing.ci_high)
    assert near.get_ylim() == (0.9, 1.0)
    # Seed 1 is above 90 % up to 0.5, whose margin is 0.03.
    assert near.get_xlim() == (-0.02, 0.53)


def test_a_crossing_that_only_some_seeds_reach_is_not_marked(chains):
    late = chains.assign(
        macro_recall=chains["macro_recall"] - 0.2 * ((chains["seed"] == 0) & (chains["input"] != "noisy"))
    )
    crossings = find_crossings(late)
    assert crossings[["n", "crossed"]].to_numpy().tolist() == [[2, 1]]
    _, near = plot_recall(late, crossings, "title", "level").axes
    assert not [line for line in near.lines if line.get_linestyle() == ":"]


def read_key(figure) -> str:
    (legend,) = figure.legends
    return legend.get_title().get_text()


def test_the_key_names_only_what_is_drawn(chains):
    crossings = find_crossings(chains)
    dotted = "   dotted: denoising helps from here"
    bars = "   bars: ± sample standard deviation"
    whole_key = read_key(plot_recall(chains, crossings, "title", "level"))
    assert whole_key == f"points: a run (n = 2){bars}{dotted} (95 % interval)"
    assert read_key(plot_classes(chains, "title", "level")).endswith("bands: ± sample standard deviation")
    one = chains[chains["seed"] == 0]
    assert read_key(plot_recall(one, find_crossings(one), "title", "level")) == f"points: a run (n = 1){dotted}"
    assert read_key(plot_recall(one, crossings[:0], "title", "level")) == "points: a run (n = 1)"
    assert read_key(plot_classes(one, "title", "level")) == "means over the seeds"
    infinite = "   without noise: infinite PSNR, no point"
    assert read_key(plot_quality(chains, "title", "level")) == f"points: a run{bars}{infinite}"
    noisy = one[one["strength"] > 0]
    assert read_key(plot_quality(noisy, "title", "level")) == "points: a run"


def test_where_no_curve_is_near_the_top_there_is_no_such_panel_and_crossings_are_marked_in_the_whole(chains):
    low = chains.assign(macro_recall=chains["macro_recall"] * 0.5)
    (whole,) = plot_recall(low, find_crossings(low), "title", "level").axes
    assert len([line for line in whole.lines if line.get_linestyle() == ":"]) == 1
    assert (whole.get_title(), whole.get_ylim()) == ("", (0, 1.02))


def test_each_digit_has_a_panel_with_its_own_recall(chains):
    panels = plot_classes(chains, "title", "level").axes
    assert [axes.get_title() for axes in panels] == [f"digit {digit}" for digit in range(10)]
    for digit, axes in enumerate(panels):
        np.testing.assert_allclose(axes.lines[0].get_ydata(), np.array(NOISY) + 0.002 - 0.001 * digit)
        np.testing.assert_allclose(axes.lines[1].get_ydata(), np.array(DENOISED) + 0.0095 - 0.001 * digit)
        # The seeds differ by half a point: at the level 0 the band goes from the mean by 0.005 / √2 up and down.
        (outline,) = axes.collections[0].get_paths()
        ends = outline.vertices[np.isclose(outline.vertices[:, 0], 0), 1]
        middle, half = NOISY[0] + 0.002 - 0.001 * digit, 0.005 / math.sqrt(2)
        assert (ends.min(), ends.max()) == pytest.approx((middle - half, middle + half))
    assert [axes.get_xlabel() for axes in panels] == [""] * 5 + ["noise level"] * 5
    assert [axes.get_ylabel() for axes in panels] == (["recall"] + [""] * 4) * 2
    assert {axes.yaxis.get_major_formatter()(0.5) for axes in panels} == {"50%"}


def test_classes_are_those_of_the_table():
    columns = {"recall_shoe": 0.9, "recall_coat": 0.8, "recall_bag": 0.7}
    measured = make_measured().filter(regex=r"^(?!recall_)").assign(**columns)
    panels = plot_classes(average_draws(measured, "level"), "title", "level").axes
    assert [axes.get_title() for axes in panels] == ["class shoe", "class coat", "class bag"]
    assert panels[2].lines[0].get_ydata().tolist() == pytest.approx([0.7] * 5)


def test_the_quality_is_that_of_each_kind_of_image_and_an_infinite_psnr_is_not_drawn(chains):
    psnr, ssim = plot_quality(chains, "title", "level").axes
    drawn = {container.get_label(): container.lines[0] for container in psnr.containers}
    assert list(drawn["noisy images"].get_xdata()) == LEVELS[1:]
    assert list(drawn["denoised by dense"].get_xdata()) == LEVELS
    np.testing.assert_allclose(list_means(psnr)["denoised by dense"], 21 - np.array(LEVELS))
    np.testing.assert_allclose(list_means(ssim)["noisy images"], 1 - np.array(LEVELS))
    np.testing.assert_allclose(list_means(ssim)["denoised by dense"], 1.1 - np.array(LEVELS))
    assert (psnr.get_ylabel(), ssim.get_ylabel()) == ("PSNR (dB)", "SSIM (1 = equal)")
    # The legend of one panel holds for both.
    colors, others = ({one.get_label(): one.lines[0].get_color() for one in axes.containers} for axes in (psnr, ssim))
    assert (colors, len(set(colors.values()))) == (others, 2)


# From evaluations to the figures


def make_strip(denoiser: str, n_levels: int) -> dict[str, np.ndarray]:
    return {
        "denoiser": np.array(denoiser),
        "original": np.zeros((3, 28, 28, 1)),
        "levels": np.array([0.25, 0.5][:n_levels]),
        "noisy": np.zeros((n_levels, 3, 28, 28, 1)),
        "denoised": np.zeros((n_levels, 3, 28, 28, 1)),
    }


@pytest.fixture
def draw_measured(measured_runs):
    """Log tables of two seeds, draw them; returns the drawing. Keys of `strips` are seeds, the older strip first."""

    def draw(tables, strips):
        for seed in (1, 0):
            run_id = measured_runs.train("cnn", seed)
            for table in tables:
                shown = table[table["seed"] == seed].drop(columns=["run_id", "seed", "classifier"])
                columns = [name for name in ("input", "denoiser", "level", "stddev", "draw") if name in shown]
                table = shown.assign(n=10)[[*columns, "n", *shown.columns.difference(columns)]].replace(math.inf, 99.0)
                measured_runs.evaluate(run_id, "denoising", table)
            for strip in strips.get(seed, []):
                of_strip = table.replace({"denoiser": {"dense": str(strip["denoiser"])}})
                measured_runs.evaluate(run_id, "denoising", of_strip, strip, "denoised.npz")
        return denoising.draw(measured_runs.build(), denoising.Config(name="denoising", experiments=["x"], filter=None))

    return draw


def test_the_study_tells_recalls_crossings_and_quality_and_shows_pictures_of_each_denoiser(
    draw_measured, caplog, monkeypatch
):
    fetch, fetched = tracking.fetch_arrays, []
    monkeypatch.setattr(tracking, "fetch_arrays", lambda run_id, path: (fetched.append(run_id), fetch(run_id, path))[1])
    strips = {0: [make_strip("sparse", 1)], 1: [make_strip("sparse", 2), make_strip("dense", 2)]}
    drawing = draw_measured([make_measured()], strips)
    assert {what: figure.get_suptitle().splitlines()[0] for what, figure in drawing.figures.items()} == {
        "": "Noise on the test images",
        "digits": "Each digit: noise on the test images",
        "quality": "Images beside the clean ones: noise on the test images",
    }
    assert list(drawing.tables) == ["levels", "crossings", ""]
    assert drawing.tables["levels"]["level 0.5"].tolist() == ["70.20 ± 0.35 %", *["90.95 ± 1.41 %"] * 2]
    assert drawing.tables["crossings"]["crossing"].tolist() == [pytest.approx(0.25 / 6)] * 2
    assert sorted(drawing.tables[""]["strength"]) == sorted(LEVELS * 3)
    assert drawing.metric == "macro_recall"
    # Those of the lowest seed that has them, the newest first; no other is fetched. Of what has none a warning tells.
    texts = [
        [text.get_text() for text in figure.axes[0].texts if text.get_text()] for figure in drawing.pictures.values()
    ]
    assert list(drawing.pictures) == ["pictures_1", "pictures_2"]
    assert texts == [
        ["Test images, denoised by sparse", "original", "0.25: noisy", "denoised"],
        ["Test images, denoised by dense", "original", "0.25: noisy", "denoised", "0.5: noisy", "denoised"],
    ]
    assert (len(fetched), caplog.text.count("samples/denoised.npz can't be had")) == (3, 1)


def test_gaussian_noise_is_drawn_over_its_standard_deviation(draw_measured):
    drawing = draw_measured([make_measured().rename(columns={"level": "stddev"})], {})
    assert drawing.figures[""].axes[0].get_xlabel() == "standard deviation of the noise"
    assert drawing.figures["digits"].axes[-1].get_xlabel() == "noise stddev"
    assert "stddev 0.5" in drawing.tables["levels"]
    assert drawing.pictures == {}


def test_of_two_kinds_of_noise_salt_and_pepper_is_drawn(draw_measured, caplog):
    salted = make_measured()
    gaussian = salted.rename(columns={"level": "stddev"}).assign(macro_recall=0.5)
    drawing = draw_measured([salted, gaussian], {})
    assert "measured with salt and pepper and with gaussian noise; salt and pepper is drawn" in caplog.text
    assert drawing.figures[""].axes[0].get_xlabel().startswith("noise level")
    assert drawing.tables["levels"]["level 0.5"].tolist() == ["70.20 ± 0.35 %", "90.95 ± 1.41 %"]


# From trained networks to the figures


@pytest.fixture
def draw(analyze):
    return partial(analyze, "study=denoising")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_study_compares_both_denoisers(draw, tmp_path):
    result = draw("study.experiments=[classifiers]")
    figures = ["denoising", "denoising_digits", "denoising_quality"]
    names = sorted(path.name for path in result.files)
    pictures = [f"denoising_pictures_{number}.png" for number in (1, 2)]
    tables = [f"denoising{what}.csv" for what in ("", "_crossings", "_levels")]
    assert names == sorted([*(f"{one}{end}" for one in figures for end in (".png", ".svg")), *pictures, *tables])
    table = pd.read_csv(tmp_path / "denoising.csv")
    assert list(dict.fromkeys(table["curve"])) == [
        "classifiers: noisy images",
        "classifiers: 3×3 median filter",
        "classifiers: denoised by autoencoder, level 0.4",
        "classifiers: denoised by autoencoder_2d, level 0.4",
    ]
    assert table["n"].tolist() == [2] * 8
    assert result.tables["crossings"]["denoiser"].tolist() == ["autoencoder, level 0.4", "autoencoder_2d, level 0.4"]


@pytest.mark.slow
def test_classifiers_that_are_not_measured_name_the_command(draw):
    command = "python -m mnist_flow.evaluate measure=denoising tracking.experiment_name=autoencoder"
    message = f"^study=denoising: no run of autoencoder is measured; .*: {command} measure.denoising.denoiser"
    with pytest.raises(TrackingError, match=message):
        draw("tracking.experiment_name=autoencoder")
