"""Hydra composes, Keras trains, MLflow remembers: tracked, comparable experiments on MNIST.

From a script or a notebook, `import mnist_flow` gives what the commands do as functions: see docs/PYTHON.md.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_flow.api import Run as Run
    from mnist_flow.api import Study as Study
    from mnist_flow.api import Sweep as Sweep
    from mnist_flow.api import evaluate as evaluate
    from mnist_flow.api import run as run
    from mnist_flow.api import runs as runs
    from mnist_flow.api import study as study
    from mnist_flow.api import sweep as sweep
    from mnist_flow.api import train as train

_API = ("Run", "Study", "Sweep", "evaluate", "run", "runs", "study", "sweep", "train")
__all__ = ["CONF_DIR", *_API]

_PACKAGE_DIR = Path(__file__).resolve().parent

# A wheel carries conf/ inside the package; a clone has it beside the package.
CONF_DIR = str(next(path for path in (_PACKAGE_DIR / "conf", _PACKAGE_DIR.parent / "conf") if path.is_dir()))


def __getattr__(name: str) -> Any:
    """Import the functions for notebooks when the first of them is used: commands do without them."""
    if name not in _API:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.api"), name)


class _Submodule(ModuleType):
    """A module with the name of a function of the API, such as `mnist_flow.train`, which may be called as it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        package, _, name = self.__name__.rpartition(".")
        return getattr(import_module(f"{package}.api"), name)(*args, **kwargs)

    def __reduce__(self) -> Any:
        return import_module, (self.__name__,)


class _Package(ModuleType):
    """This package. Python sets its attribute `train` to the module of that name once somebody imports that."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _API and isinstance(value, ModuleType):
            value.__class__ = _Submodule
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Package
