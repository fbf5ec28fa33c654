"""Restoring the clean image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mnist_flow.config.train import TrainConfig
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DatasetInfo, Images
from mnist_flow.data.noise import Corrupt, choose_corruption, describe_noise
from mnist_flow.metrics.classification import choose_one_of_each
from mnist_flow.models.prediction import predict
from mnist_flow.runtime.lazy import keras
from mnist_flow.tasks.task import Report, Shape, Task, TrainedModel
from mnist_flow.training.objective import measure_loss
from mnist_flow.training.streams import corrupt_measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mnist_flow.metrics.robustness import Condition


class Reconstruction(Task):
    """Minimises the binary cross-entropy of the clean pixels, mean over the pixels."""

    title = "an autoencoder"
    loss_name = "loss (binary cross-entropy of the pixels)"

    def output_shape(self, info: DatasetInfo) -> Shape:
        return info.input_shape

    def build_loss(self, label_smoothing: float) -> keras.losses.Loss:
        return keras.losses.BinaryCrossentropy()

    def build_targets(self, images: Images, n_classes: int) -> FloatArray:
        return images.images

    def build_validation(self, images: Images, n_classes: int, corrupt: Corrupt | None) -> tuple[Any, FloatArray]:
        # A denoiser is validated on corrupted images, too.
        return corrupt_measured(images.images, corrupt, "validation"), images.images

    def plot_samples(self, trained: TrainedModel, epoch: int) -> Figure:
        """Draw a validation image of each class: original, with the noise of the training, and denoised."""
        from mnist_flow import figures

        clean = trained.splits.validation.images
        shown = choose_one_of_each(trained.splits.validation.labels, figures.MOST_SHOWN)
        noisy = corrupt_measured(clean, choose_corruption(trained.noise), "validation")[shown]
        is_noisy = trained.noise.level_key is not None
        rows = [("original", clean[shown])]
        rows += [(describe_noise(trained.noise), noisy)] if is_noisy else []
        rows.append(("denoised" if is_noisy else "reconstructed", predict(trained.model, noisy)))
        return figures.plot_image_rows(rows, f"{trained.name} after epoch {epoch}: validation images")

    def measure(self, trained: TrainedModel, epoch: int) -> Report:
        """Measure the loss with the noise of the training, and PSNR and SSIM at each of `evaluation.noise_levels`.

        `test_psnr` and `test_ssim` are those of images with the noise of the training, again.
        """
        from mnist_flow.metrics import reconstruction as quality
        from mnist_flow.metrics.robustness import list_noise_conditions

        clean, options = trained.splits.test.images, trained.evaluation
        noisy = corrupt_measured(clean, choose_corruption(trained.noise), "test")
        denoised = predict(trained.model, noisy, options.batch_size)
        few = slice(options.quality_images)
        conditions, column = list_noise_conditions(trained.noise, options.noise_levels)
        table = quality.measure_reconstruction(
            conditions, clean[few], lambda images: predict(trained.model, images, options.batch_size)
        )
        return Report(
            metrics={
                "test_loss": quality.compute_binary_cross_entropy(clean, denoised)
                if trained.loss is None
                else measure_loss(trained.loss, clean, denoised, options.batch_size),
                "test_psnr": quality.compute_psnr(clean[few], denoised[few]),
                "test_ssim": quality.compute_ssim(clean[few], denoised[few]),
                **quality.compute_quality(table, column),
            },
            input_example=noisy[:5],
            output_example=denoised[:5],
            tables={"tables/reconstruction.json": table},
            draw=lambda: {
                "samples/levels.png": _plot_levels(trained, conditions, column),
                "samples/reconstruction.png": self.plot_samples(trained, epoch),
            },
        )

    def describe_result(self, results: Mapping[str, float], config: TrainConfig, n_test: int) -> dict[str, str]:
        n_quality = min(config.evaluation.quality_images, n_test)
        quality = f"{results['test_psnr']:.2f} dB, {results['test_ssim']:.4f} (n = {n_quality:,})"
        loss = "binary cross-entropy" if config.loss is None else config.loss.name
        return {
            "noise": describe_noise(config.noise),
            "test loss": f"{results['test_loss']:.5f} ({loss} a pixel, n = {n_test:,})",
            "test PSNR, SSIM": quality,
            "validation loss": f"{results['val_loss']:.5f} (epoch {results['selected_epoch']:.0f})",
        }


def _plot_levels(trained: TrainedModel, conditions: Sequence[Condition], column: str) -> Figure:
    """Draw a test image of each class at each noise level, and what the network makes of it."""
    from mnist_flow import figures

    test = trained.splits.test
    clean = test.images[choose_one_of_each(test.labels, figures.MOST_SHOWN)]
    rows = [("original", clean)]
    for condition in conditions:
        noisy = condition.transform(clean)
        rows.append((f"{column} {condition.columns[column]:g}: noisy", noisy))
        rows.append(("denoised", predict(trained.model, noisy, trained.evaluation.batch_size)))
    return figures.plot_image_rows(rows, f"{trained.name}, {trained.info.name} test set")


TASK = Reconstruction()
