"""Keras and TensorFlow, imported when they are first used: the import takes seconds, and bad input is told before."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    import lazy_loader

    keras = lazy_loader.load("keras")
    tf = lazy_loader.load("tensorflow")

__all__ = ["keras", "tf"]
