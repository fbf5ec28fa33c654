"""The same learning rate all along."""

from mnist_flow.config.train import ScheduleSection


class Config(ScheduleSection):
    """The optimizer's learning rate holds."""
