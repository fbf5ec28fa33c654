"""Hydra composes, Keras trains, MLflow remembers: tracked, comparable experiments on MNIST."""

from pathlib import Path

_PACKAGE_DIR = Path(__file__).resolve().parent

# A wheel carries conf/ inside the package; a clone has it beside the package.
CONF_DIR = str(next(path for path in (_PACKAGE_DIR / "conf", _PACKAGE_DIR.parent / "conf") if path.is_dir()))
