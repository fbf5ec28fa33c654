"""What every part of a config has in common: strict types, named ranges, and flat paths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# What a text must be, by the pattern that it must match.
WANTED_TEXTS = {
    r"^[A-Za-z0-9_.-]+$": "must be letters, digits, '_', '.' and '-'",
    r"^\w+$": "must be an id, of letters and digits",
    r"^[\w-]+$": "must be letters, digits, '_' and '-'",
    r"^[^/:@]+$": "must be a name without '/', ':' and '@'",
    r"\S": "must not be empty",
}

# From 0 to below 1.
ProperFraction = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
# Between 0 and 1.
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
RunId = Annotated[str, Field(pattern=r"^\w+$")]
# MLflow's own limit.
ExperimentName = Annotated[str, Field(pattern=r"\S", max_length=500)]
# A file or folder; empty, as an environment variable may be, is none. One that is there is meant from every folder, as
# runs are measured and repeated from others than the one that they were made in.
FilePath = Annotated[
    str | None,
    AfterValidator(lambda path: str(Path(path).absolute()) if path and Path(path).exists() else path or None),
]
Activation = Literal["relu", "sigmoid", "tanh", "elu", "gelu", "silu", "leaky_relu", "selu", "linear"]
Initializer = Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"]


class Section(BaseModel):
    """A part of the config: unknown keys, wrong types, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OptionSection(Section):
    """What an option of a config group says, such as conf/noise/gaussian.yaml.

    The class stands in the module that does what the option says: see `mnist_flow.config.options`.
    """

    # The Python module of an option that is not found by its name, such as one in a package of the user's own. It is no
    # param where it is not set, so that runs keep their identity.
    module: str | None = Field(default=None, exclude_if=lambda module: module is None)


def flatten(cfg: DictConfig | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn a nested config into override paths: {"optimizer": {"name": "sgd"}} gives {"optimizer.name": "sgd"}.

    Lists stay whole.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True) if isinstance(cfg, DictConfig) else cfg
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(flatten(value, prefix=f"{path}."))
        else:
            flat[path] = value
    return flat
