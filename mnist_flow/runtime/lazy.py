"""Keras and TensorFlow, imported when they are first used: the import takes seconds, and bad input is told before."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:

    class _LazyModule(ModuleType):
        # importlib.util.LazyLoader, which lazy_loader uses too, leaves Keras half imported when TensorFlow imports it.
        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self.__name__), name)

    keras, tf = _LazyModule("keras"), _LazyModule("tensorflow")

__all__ = ["keras", "tf"]
