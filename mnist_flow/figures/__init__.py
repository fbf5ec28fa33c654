"""Figures of one run: arrays in, a matplotlib Figure out. Nothing is shown, saved or set globally."""

from mnist_flow.figures.confusion import measure_matrix as measure_matrix
from mnist_flow.figures.confusion import plot_confusion_matrix as plot_confusion_matrix
from mnist_flow.figures.confusion import plot_matrix as plot_matrix
from mnist_flow.figures.curves import TRAINING_COLOR as TRAINING_COLOR
from mnist_flow.figures.curves import VALIDATION_COLOR as VALIDATION_COLOR
from mnist_flow.figures.curves import plot_epoch_curves as plot_epoch_curves
from mnist_flow.figures.diagram import LayerRow as LayerRow
from mnist_flow.figures.diagram import plot_model_diagram as plot_model_diagram
from mnist_flow.figures.images import MOST_SHOWN as MOST_SHOWN
from mnist_flow.figures.images import plot_beside_nearest as plot_beside_nearest
from mnist_flow.figures.images import plot_image_rows as plot_image_rows
from mnist_flow.figures.images import plot_misclassified as plot_misclassified
from mnist_flow.figures.images import plot_shifted_images as plot_shifted_images
from mnist_flow.figures.images import shorten_name as shorten_name
from mnist_flow.figures.style import STYLE as STYLE
