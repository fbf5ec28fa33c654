"""Network architectures, one family a file: the schema of the option and `build(config, info)`, which builds the model.

Every model takes float32 images (batch, height, width, channels) in [0, 1].
"""

from mnist_flow.models.building import build_model

__all__ = ["build_model"]
