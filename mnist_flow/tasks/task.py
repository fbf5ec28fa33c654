"""What a run must know of a task beside its training: its models' shapes, what it logs, and how its result is told.

A config is checked with the help of its task, in processes that neither train nor draw. So the modules of tasks import
figures, and measures that take long to import, where they use them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mnist_flow.config.train import EvaluationConfig, NoiseSection, TrainConfig
from mnist_flow.data.arrays import FloatArray
from mnist_flow.data.dataset import DatasetInfo, Splits
from mnist_flow.runtime.lazy import keras
from mnist_flow.training.objective import Objective

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TrainedModel:
    """A network, in training or after it, and what it is measured and drawn with."""

    model: keras.Model
    # As its config names it, for figures.
    name: str
    info: DatasetInfo
    splits: Splits
    # That it was trained with.
    noise: NoiseSection
    evaluation: EvaluationConfig
    # That it was trained with in place of its task's own; None: with that.
    loss: keras.losses.Loss | None = None


@dataclass(frozen=True)
class Report:
    """What a run leaves at its end; records, arrays, tables and figures by their path among its artifacts."""

    metrics: dict[str, float]
    # What is logged beside the model to show how it is used: arrays with a row an image, by name where a model has
    # several inputs; and what the model gives for them.
    input_example: FloatArray | dict[str, FloatArray]
    output_example: FloatArray
    # .json: anything that JSON holds.
    records: dict[str, Any] = field(default_factory=dict)
    # .npz: arrays by name.
    arrays: dict[str, dict[str, Any]] = field(default_factory=dict)
    # .json: tidy tables.
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    # Draws the figures, .png or .svg; it is called where they are logged.
    draw: Callable[[], dict[str, Figure]] = dict


class Task(Objective):
    """What a network is for. A task is a module of `mnist_flow.tasks` that holds an object of this kind as `TASK`."""

    # What a model of this task is called in messages, with its article.
    title: ClassVar[str]
    # The loss as the axis of a figure names it.
    loss_name: ClassVar[str]
    # The metric that chooses among runs, where the config names none.
    default_objective: ClassVar[Literal["val_accuracy", "val_loss"]] = "val_loss"

    def input_shapes(self, info: DatasetInfo) -> tuple[Shape, ...]:
        """Shapes of one example of each input of a model for this data set, without the batch."""
        return (info.input_shape,)

    @abstractmethod
    def output_shape(self, info: DatasetInfo) -> Shape:
        """Shape of what a model for this data set gives for one example."""

    def describe_misfit(self, model: keras.Model, info: DatasetInfo) -> tuple[str, str] | None:
        """Describe a model of the user's own that is not one for this task and data set.

        Returns:
            What it is and what it must be, in words; None: it is one.
        """
        inputs = tuple((None, *shape) for shape in self.input_shapes(info))
        output = None, *self.output_shape(info)
        wanted = f"a keras.Model from {' and '.join(map(str, inputs))} to {output}"
        if not getattr(model, "inputs", None):
            return "a keras.Model without inputs", f"{wanted}, which begins with keras.Input(info.input_shape)"
        found = tuple(tuple(one.shape) for one in model.inputs)
        # A Sequential has no `output` before it is called; of several outputs, a list or a dict of shapes.
        outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
        given = keras.tree.map_structure(lambda one: tuple(one.shape), outputs)
        if (found, given) == (inputs, output):
            return None
        return f"a keras.Model from {' and '.join(map(str, found))} to {given}", wanted

    def check_config(self, config: TrainConfig) -> None:
        """Refuse a config that asks for what networks of this task do not have.

        Raises:
            ValueError: it does; the message names the key and the remedy.
        """
        why = f"belongs to classifiers, and model={config.model.name} draws images"
        if config.reg > 0:
            raise ValueError(f"reg={config.reg}: {why}; leave it out")
        for key in ("label_smoothing", "adversarial_radius", "class_weights"):
            if value := getattr(config.training, key):
                raise ValueError(f"training.{key}={value}: {why}; leave it out")
        if config.training.monitor == "val_accuracy":
            raise ValueError(f"training.monitor=val_accuracy: {why}; choose val_loss")
        for objective in config.objectives:
            if objective.endswith(("accuracy", "macro_f1")):
                raise ValueError(f"evaluation.objective={objective}: {why}; choose val_loss or test_loss")

    def plot_samples(self, trained: TrainedModel, epoch: int) -> Figure | None:
        """Draw images that the network makes after an epoch, from 1; None: networks of this task make none."""
        return None

    @abstractmethod
    def measure(self, trained: TrainedModel, epoch: int) -> Report:
        """Measure a trained network on the test images.

        Args:
            trained: the network with its final weights.
            epoch: that these weights are of, from 1.
        """

    @abstractmethod
    def describe_result(self, results: Mapping[str, float], config: TrainConfig, n_test: int) -> dict[str, str]:
        """Describe the result of a run for the terminal, a text by its heading.

        Args:
            results: the run's final metrics; those of an epoch are the selected epoch's.
            config: that it was trained with.
        """
