import dataclasses

import keras
import numpy as np
import pytest

from mnist_flow import figures
from mnist_flow.config.train import TrainConfig
from mnist_flow.config.validation import validate_config
from mnist_flow.data.dataset import DatasetInfo, Images, Splits
from mnist_flow.data.noise import choose_corruption
from mnist_flow.data.noise.none import Config as NoNoise
from mnist_flow.data.noise.salt_and_pepper import Config as SaltAndPepper
from mnist_flow.models.cvae import build_cvae
from mnist_flow.tasks import TrainedModel, find_task
from mnist_flow.training.streams import corrupt_measured

# Three classes of small, wide images in colour: nothing here is 28 or ten.
INFO = DatasetInfo("coloured", "nowhere", "0" * 16, (4, 6, 3), ("cat", "dog", "newt"))


@pytest.mark.parametrize(
    ("name", "title", "inputs", "output"),
    [
        ("classification", "a classifier", ((4, 6, 3),), (3,)),
        ("reconstruction", "an autoencoder", ((4, 6, 3),), (4, 6, 3)),
        ("generation", "a conditional autoencoder", ((4, 6, 3), (3,)), (4, 6, 3)),
    ],
)
def test_the_shapes_of_a_task_follow_from_the_data(name, title, inputs, output):
    task = find_task(name)
    assert (task.title, task.input_shapes(INFO), task.output_shape(INFO)) == (title, inputs, output)


def build(units, activation=None, end=lambda outputs: outputs, input_shape=(4, 6, 3)):
    images = keras.Input(input_shape)
    outputs = keras.layers.Dense(units, activation)(keras.layers.Flatten()(images))
    return keras.Model(images, end(outputs))


def build_sequential(units):
    return keras.Sequential([keras.Input((4, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(units, "softmax")])


class Unbuilt(keras.Model):
    def call(self, images):
        return images


@pytest.mark.parametrize(
    ("make", "described"),
    [
        (lambda: build(5, "softmax"), "a keras.Model from (None, 4, 6, 3) to (None, 5)"),
        (lambda: build(3, "softmax", input_shape=(4, 6, 1)), "a keras.Model from (None, 4, 6, 1) to (None, 3)"),
        (
            lambda: build(3, "softmax", end=lambda outputs: {"classes": outputs}),
            "a keras.Model from (None, 4, 6, 3) to {'classes': (None, 3)}",
        ),
        (
            lambda: build(3, "softmax", end=lambda outputs: [outputs, outputs]),
            "a keras.Model from (None, 4, 6, 3) to [(None, 3), (None, 3)]",
        ),
        (lambda: build_sequential(4), "a keras.Model from (None, 4, 6, 3) to (None, 4)"),
        (Unbuilt, "a keras.Model without inputs"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "a keras.Model without inputs"),
    ],
)
def test_a_network_of_other_shapes_is_told_with_those_that_it_has(make, described):
    wanted = "a keras.Model from (None, 4, 6, 3) to (None, 3)"
    if described.endswith("inputs"):
        wanted += ", which begins with keras.Input(info.input_shape)"
    assert find_task("classification").describe_misfit(make(), INFO) == (described, wanted)


def test_a_sequential_that_was_never_called_is_a_network():
    assert find_task("classification").describe_misfit(build_sequential(3), INFO) is None


def test_a_classifier_whose_outputs_are_no_probabilities_is_told():
    task = find_task("classification")
    # They sum to 1, and some are negative.
    tilted = build(3, lambda outputs: keras.ops.array([1.5, -0.5, 0.0]) + 0 * outputs)
    assert "go from -0.5 to 1.5 and sum to 1" in task.describe_misfit(tilted, INFO)[0]
    for activation in (None, "relu", "sigmoid", "tanh"):
        described, wanted = task.describe_misfit(build(3, activation), INFO)
        assert described.startswith("a network whose outputs are no probabilities: those of an image go from ")
        assert wanted == "one that ends in a softmax, such as keras.layers.Dense(info.n_classes, activation='softmax')"
    assert "sum to nan" in task.describe_misfit(build(3, lambda outputs: outputs * np.nan), INFO)[0]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_softmax_of_any_precision_gives_probabilities(precision):
    info = dataclasses.replace(INFO, class_names=tuple(map(str, range(1000))))
    softmax = keras.layers.Activation("softmax", dtype=keras.DTypePolicy(precision))
    assert find_task("classification").describe_misfit(build(1000, end=softmax), info) is None


def test_an_autoencoder_gives_images():
    task = find_task("reconstruction")
    assert task.describe_misfit(build(72, end=keras.layers.Reshape((4, 6, 3))), INFO) is None
    assert task.describe_misfit(build(72), INFO) == (
        "a keras.Model from (None, 4, 6, 3) to (None, 72)",
        "a keras.Model from (None, 4, 6, 3) to (None, 4, 6, 3)",
    )


def test_a_generator_has_the_layers_that_its_loss_asks_for():
    images, classes = keras.Input((4, 6, 3)), keras.Input((3,))
    pixels = keras.layers.Dense(72, name="stddev")(
        keras.layers.Concatenate()([keras.layers.Flatten()(images), classes])
    )
    model = keras.Model([images, classes], keras.layers.Reshape((4, 6, 3))(pixels))
    described, _ = find_task("generation").describe_misfit(model, INFO)
    assert described == "a keras.Model without layers named decoder encoder zeros"
    other = keras.Model(model.inputs, pixels)
    assert find_task("generation").describe_misfit(other, INFO)[0].endswith("to (None, 72)")
    assert find_task("generation").describe_misfit(build_cvae((4, 6, 3), 3, [5], 2), INFO) is None


def test_there_is_no_other_task():
    with pytest.raises(ModuleNotFoundError, match="segmentation"):
        find_task("segmentation")


@pytest.fixture
def tell(compose_config):
    """Tells the results of a run of a task, trained with some overrides."""

    def tell(results, n_test, *overrides):
        config = validate_config(compose_config(*overrides), TrainConfig)
        return find_task(config.task).describe_result(results, config, n_test)

    return tell


def test_a_classifiers_result_is_told_with_its_error(tell):
    results = {
        "test_accuracy": 0.9812,
        "test_accuracy_standard_error": 0.0014,
        "test_loss": 0.123456,
        "test_cross_entropy": 0.1,
        "val_accuracy": 0.975,
        "selected_epoch": 3.0,
    }
    assert tell(results, 10_000) == {
        "test accuracy": "98.12% ± 0.14% (standard error, n = 10,000)",
        "test loss": "0.12346 with the L2 penalty, 0.10000 without",
        "validation accuracy": "97.50% (epoch 3)",
    }
    # The formula of the error gives 0 for a test without mistakes, of which 360 images can't be sure.
    perfect = results | {"test_accuracy": 1.0, "test_accuracy_standard_error": 0.0}
    assert tell(perfect, 360)["test accuracy"] == "100.00% (95 % interval 98.94% to 100.00%, n = 360)"
    # It is told where it differs from the accuracy by more than the standard error.
    for balanced, told in ((0.9800, None), (0.75, "75.00% (mean recall of the classes, whose sizes differ)")):
        unequal = results | {"test_balanced_accuracy": balanced}
        assert tell(unequal, 10_000).get("balanced accuracy") == told


def test_a_denoisers_result_is_told_with_its_noise_and_the_images_measured(tell):
    results = {"test_loss": 0.1, "test_psnr": 20.123, "test_ssim": 0.9, "val_loss": 0.11, "selected_epoch": 2.0}
    denoiser = "model=autoencoder", "noise=gaussian", "noise.stddev=0.4"
    assert tell(results, 360, *denoiser, "evaluation.quality_images=1000") == {
        "noise": "stddev 0.4",
        "test loss": "0.10000 (binary cross-entropy a pixel, n = 360)",
        "test PSNR, SSIM": "20.12 dB, 0.9000 (n = 360)",
        "validation loss": "0.11000 (epoch 2)",
    }
    few = tell(results, 360, *denoiser, "evaluation.quality_images=20")
    assert few["test PSNR, SSIM"] == "20.12 dB, 0.9000 (n = 20)"


def test_a_generators_result_is_told_in_its_parts(tell):
    results = {
        "test_loss": 110.5,
        "test_cross_entropy": 100.25,
        "test_code_divergence": 10.25,
        "val_loss": 111.0,
        "selected_epoch": 2.0,
    }
    assert tell(results, 360, "model=cvae") == {
        "test loss": "110.500 nats an image (n = 360)",
        "its parts": "100.250 binary cross-entropy of the pixels, 10.250 KL divergence of the latents",
        "validation loss": "111.000 (epoch 2)",
    }


class Doubling:
    """Stands for a network: gives the images that it is shown, twice as bright."""

    def predict_on_batch(self, images):
        return 2 * images


def build_trained(noise, monkeypatch):
    """A trained model on five images of three classes, and the rows of the last figure that was drawn."""
    drawn = []
    monkeypatch.setattr(figures, "plot_image_rows", lambda rows, title: drawn.append((dict(rows), title)))
    monkeypatch.setattr("mnist_flow.tasks.reconstruction.predict", lambda model, images: model.predict_on_batch(images))
    images = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) * np.ones((5, 4, 6, 1), np.float32)
    part = Images(images, np.array([2, 0, 0, 1, 2]))
    return TrainedModel(Doubling(), "tiny", INFO, Splits(None, part, None), noise, None), drawn


@pytest.mark.parametrize(
    ("noise", "names"),
    [
        (NoNoise(name="none"), ["original", "reconstructed"]),
        (
            SaltAndPepper(name="salt_and_pepper", level=1.0, min_level=None, redraw=True),
            ["original", "level 1", "denoised"],
        ),
    ],
)
def test_the_samples_of_a_denoiser_are_the_first_validation_image_of_each_class(monkeypatch, noise, names):
    trained, drawn = build_trained(noise, monkeypatch)
    find_task("reconstruction").plot_samples(trained, 7)
    ((rows, title),) = drawn
    assert title == "tiny after epoch 7: validation images"
    assert list(rows) == names
    # Of the classes 0, 1 and 2.
    assert rows["original"][:, 0, 0, 0].tolist() == [1, 3, 0]
    seen = rows[names[-2]]
    np.testing.assert_array_equal(rows[names[-1]], 2 * seen)
    if noise.level_key is not None:
        whole = corrupt_measured(trained.splits.validation.images, choose_corruption(noise), "validation")
        np.testing.assert_array_equal(seen, whole[[1, 3, 0]])


def test_classifiers_draw_no_samples():
    assert find_task("classification").plot_samples(None, 1) is None
