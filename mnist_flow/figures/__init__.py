"""Figures of one run: arrays in, a matplotlib Figure out. Nothing is shown, saved or set globally."""

from mnist_flow.figures.confusion import plot_confusion_matrix
from mnist_flow.figures.curves import TRAINING_COLOR, VALIDATION_COLOR, plot_epoch_curves
from mnist_flow.figures.diagram import LayerRow, plot_model_diagram
from mnist_flow.figures.images import plot_beside_nearest, plot_image_rows, plot_misclassified, plot_shifted_images

__all__ = [
    "TRAINING_COLOR",
    "VALIDATION_COLOR",
    "LayerRow",
    "plot_beside_nearest",
    "plot_confusion_matrix",
    "plot_epoch_curves",
    "plot_image_rows",
    "plot_misclassified",
    "plot_model_diagram",
    "plot_shifted_images",
]
