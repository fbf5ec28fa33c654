"""What networks are for, a task a file: what they learn, what their runs log, and how a result is told."""

from importlib import import_module

from mnist_flow.tasks.task import Report, Task, TrainedModel

__all__ = ["Report", "Task", "TrainedModel", "find_task"]


def find_task(name: str) -> Task:
    """Find a task by the name of its module here, as the config of a model family says it.

    Raises:
        ModuleNotFoundError: there is no such task.
    """
    task: Task = import_module(f"mnist_flow.tasks.{name}").TASK
    return task
