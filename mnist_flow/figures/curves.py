"""Loss and accuracy over the epochs of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Of the Okabe-Ito palette, which the colour-blind can tell apart.
TRAINING_COLOR, VALIDATION_COLOR = "#0072B2", "#D55E00"


def plot_epoch_curves(
    history: Sequence[Mapping[str, float]],
    title: str,
    validation_name: str = "validation",
    selected_epoch: int = 0,
    loss_name: str = "loss (cross-entropy + L2 penalty)",
) -> Figure:
    """Plot loss and, of a classifier, accuracy over the epochs, training and validation.

    Args:
        history: one mapping an epoch with loss and val_loss, and of a classifier accuracy and val_accuracy.
        validation_name: what the validation images are, for the legend.
        selected_epoch: marked with a line where it is not the last; 0 for none.
        loss_name: for its axis.
    """
    labels = {"loss": loss_name} | ({"accuracy": "accuracy"} if "accuracy" in history[0] else {})
    width = 4.5 * len(labels)
    figure = Figure(figsize=(width, 3.6))
    figure.subplots_adjust(left=0.72 / width, right=1 - 0.18 / width, bottom=0.15, top=0.88, wspace=0.25)
    figure.suptitle(title)
    epochs = np.arange(1, len(history) + 1)
    panels: list[Axes] = list(figure.subplots(1, len(labels), squeeze=False)[0])
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
        train = [metrics[name] for metrics in history]
        validation = [metrics[f"val_{name}"] for metrics in history]
        axes.plot(epochs, train, "o-", color=TRAINING_COLOR, label="training", markersize=3)
        axes.plot(epochs, validation, "s-", color=VALIDATION_COLOR, label=validation_name, markersize=3)
        if 0 < selected_epoch < len(history):
            axes.axvline(selected_epoch, color="0.5", linestyle=":", label=f"weights of epoch {selected_epoch}")
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
