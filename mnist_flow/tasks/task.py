"""What a program must know of a task beside its training: the shapes of its models, and what they are called."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from mnist_flow.data.dataset import DatasetInfo
from mnist_flow.training.objective import Objective

Shape = tuple[int, ...]


class Task(Objective):
    """What a network is for. A task is a module of `mnist_flow.tasks` that holds an object of this kind as `TASK`."""

    # What a model of this task is called in messages, with its article.
    title: ClassVar[str]

    def input_shapes(self, info: DatasetInfo) -> tuple[Shape, ...]:
        """Shapes of one example of each input of a model for this data set, without the batch."""
        return (info.input_shape,)

    @abstractmethod
    def output_shape(self, info: DatasetInfo) -> Shape:
        """Shape of what a model for this data set gives for one example."""
