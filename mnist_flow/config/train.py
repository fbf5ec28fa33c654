"""One training run, as conf/config.yaml and its groups describe it.

What the options of a group say beyond what all of them have stands beside the code of each option.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from mnist_flow.config.options import Option
from mnist_flow.config.published import Published
from mnist_flow.config.section import (
    Count,
    FilePath,
    Fraction,
    Name,
    NonNegative,
    OpenFraction,
    OptionSection,
    Positive,
    ProperFraction,
    RunId,
    Section,
    Seed,
    flatten,
)
from mnist_flow.config.tracking import TrackingConfig

# Key prefixes excluded from a run's identity: how often, where and how fast it runs, not what comes out of it.
INCIDENTAL = (
    "replicates",
    "resume",
    "plan",
    "published",
    "tracking.",
    "evaluation.",
    "data.path",
    "training.steps_per_execution",
    "training.checkpoint_dir",
    "training.keep_state",
)
# Keys that came after runs had been logged. Where they are null they are no params, so that runs keep their identity.
_LATER = (
    *("training.adversarial_radius", "training.class_weights", "training.warm_start"),
    *("data.folds", "data.fold", "loss", "model.kernel_initializer", "model.centering"),
    *("model.batch_normalization_after", "model.gaussian_noise", "model.block_dropout"),
)
FOLD = "data.fold"
# Params in which the runs of a group differ.
REPLICATED = ("seed", FOLD)
# What a network is trained for: to tell classes apart, to restore the clean image, or to make images of a class.
Task = Literal["classification", "reconstruction", "generation"]


class DataSection(OptionSection):
    """What all data sets have."""

    # Whether the class names come with the images: then they are part of the data's digest.
    names_vary: ClassVar[bool] = False

    name: Name
    path: FilePath
    validation: Literal["holdout", "test"]
    holdout_size: Count | OpenFraction
    split_seed: Seed
    scale: Positive
    folds: Annotated[int, Field(ge=2)] | None = None
    fold: Annotated[int, Field(ge=0)] | None = None

    def list_options(self) -> dict[str, Any]:
        """What the data set's `load` takes beside the path."""
        return self.model_dump(exclude=set(DataSection.model_fields))

    @property
    def chosen_fold(self) -> tuple[int, int] | None:
        """The number of the fold that is validated on, and how many folds there are; None: there are none."""
        return None if self.folds is None or self.fold is None else (self.fold, self.folds)

    @model_validator(mode="after")
    def check_folds(self) -> DataSection:
        if self.folds is None:
            if self.fold is not None:
                raise ValueError(f"data.fold={self.fold}: is one of several folds; say how many: data.folds=5")
            return self
        every = f"0 to {self.folds - 1}; all of them: -m data.folds={self.folds} 'data.fold=range({self.folds})'"
        if self.fold is None:
            raise ValueError(f"data.folds={self.folds}: data.fold must say which one is validated on, {every}")
        if self.fold >= self.folds:
            raise ValueError(f"data.fold={self.fold}: must be one of data.folds={self.folds}, {every}")
        if self.validation == "test":
            raise ValueError(f"data.folds={self.folds}: folds are validated on in turn; leave out data.validation=test")
        return self


class ModelSection(OptionSection):
    """What all model families have."""

    task: ClassVar[Task] = "classification"

    name: Name
    # The module that builds the model.
    family: Name

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Refuse a schema of the user's own for a task that there is not."""
        if cls.task not in get_args(Task):
            raise ValueError(f"task={cls.task!r}: must be one of {' '.join(get_args(Task))}")

    def check_input(self, input_shape: tuple[int, int, int]) -> None:
        """Raise ValueError where the model can't take images of this height, width and number of channels."""


class NoiseSection(OptionSection):
    """What all kinds of noise have."""

    # The key that says how strong the noise is; None: there is no noise.
    level_key: ClassVar[str | None] = None

    name: Name

    @property
    def is_redrawn(self) -> bool:
        """Whether the noise differs from epoch to epoch."""
        return getattr(self, "redraw", True)

    @property
    def levels(self) -> tuple[float, float | None]:
        """The highest noise level, and the lowest where images have each their own."""
        key = self.level_key
        return (0.0, None) if key is None else (getattr(self, key), getattr(self, f"min_{key}", None))

    @model_validator(mode="after")
    def check_levels(self) -> NoiseSection:
        if self.module is not None and self.level_key not in type(self).model_fields:
            raise ValueError(
                f"noise.module={self.module}: its Config must name the key that is the noise level, for example "
                "level_key = 'level'"
            )
        (highest, lowest), key = self.levels, self.level_key
        if lowest is not None and lowest > highest:
            raise ValueError(f"noise.min_{key}={lowest}: must be at most noise.{key}={highest}")
        return self


class AugmentationSection(OptionSection):
    """What all augmentations have."""

    name: Name

    def check_input(self, input_shape: tuple[int, int, int]) -> None:
        """Raise ValueError where images of this height, width and number of channels can't be changed in this way."""


class LossSection(OptionSection):
    """What all losses have that networks may be trained with in place of their task's own."""

    # What networks must be for.
    tasks: ClassVar[tuple[Task, ...]] = ("classification", "reconstruction")

    name: Name


class ScheduleSection(OptionSection):
    """What all schedules of the learning rate have."""

    name: Name

    def check_epochs(self, epochs: int) -> None:
        """Raise ValueError where the schedule does not fit into so many epochs."""


def _optional(**limits: Any) -> Any:
    """A field that is no param where it is not set, so that optimizers without it keep their params."""
    return Field(default=None, exclude_if=lambda value: value is None, **limits)


class OptimizerConfig(Section):
    """Any optimizer of Keras: its name for `keras.optimizers.get`, and its own options as its file lists them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, bool | float | str | None] = Field(init=False)

    name: Name
    learning_rate: Positive
    momentum: float | None = _optional(ge=0, lt=1)
    beta_1: float | None = _optional(ge=0, lt=1)
    beta_2: float | None = _optional(ge=0, lt=1)
    rho: float | None = _optional(ge=0, lt=1)
    weight_decay: float | None = _optional(ge=0)
    nesterov: bool | None = _optional()

    @model_validator(mode="after")
    def check_nesterov(self) -> OptimizerConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("optimizer.nesterov=true: needs momentum; set optimizer.momentum=0.9, say")
        return self

    def list_options(self) -> dict[str, Any]:
        """What the optimizer takes beside the learning rate."""
        return self.model_dump(exclude={"name", "learning_rate"})


class TrainingConfig(Section):
    monitor: Literal["val_loss", "val_accuracy"]
    early_stopping_patience: Count | None
    keep_best_epoch: bool
    ema_momentum: ProperFraction | None
    label_smoothing: ProperFraction
    adversarial_radius: Positive | None = None
    class_weights: Literal["balanced"] | None = None
    warm_start: RunId | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    threads: Count | None
    steps_per_execution: Count
    checkpoint_dir: Annotated[str, Field(min_length=1)] | None
    keep_state: bool = False


# Metrics that a command returns to a sweeper, see `is_minimised`.
Objective = Literal[
    "val_accuracy",
    "val_balanced_accuracy",
    "val_macro_f1",
    "val_loss",
    "test_accuracy",
    "test_balanced_accuracy",
    "test_macro_f1",
    "test_loss",
    "n_parameters",
    "fit_seconds",
]


def is_minimised(objective: str) -> bool:
    """Whether the lower of two values of an objective is the better."""
    return objective.endswith("loss") or objective in ("n_parameters", "fit_seconds")


def _check_different(objectives: list[Objective]) -> list[Objective]:
    if len(set(objectives)) < len(objectives):
        raise ValueError(f"evaluation.objective=[{','.join(objectives)}]: names a metric twice")
    return objectives


_Objectives = Annotated[list[Objective], Field(min_length=1), AfterValidator(_check_different)]


class EvaluationConfig(Section):
    batch_size: Count
    objective: (
        Annotated[
            Annotated[Objective, Tag("one")] | Annotated[_Objectives, Tag("several")],
            Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
        ]
        | None
    )
    misclassified: Annotated[int, Field(ge=0, le=100)]
    noise_levels: Annotated[list[Fraction], Field(min_length=1, max_length=21)]
    quality_images: Count
    samples_every: Count


class TrainConfig(Section):
    """One training run, as `conf/config.yaml` and its groups describe it."""

    reg: NonNegative
    seed: Seed
    epochs: Count
    batch_size: Count
    replicates: Count
    resume: bool
    plan: bool
    # Read from what is typed when a sweep begins; its jobs have neither.
    zip: list[str] | list[list[str]] | None = None
    jobs: FilePath = None
    published: Published | None
    data: Annotated[DataSection, Option("mnist_flow.data.sets")]
    model: Annotated[ModelSection, Option("mnist_flow.models", key="family")]
    optimizer: OptimizerConfig
    schedule: Annotated[ScheduleSection, Option("mnist_flow.training.schedules")]
    loss: Annotated[LossSection | None, Option("mnist_flow.training.losses")] = None
    noise: Annotated[NoiseSection, Option("mnist_flow.data.noise")]
    augmentation: Annotated[AugmentationSection, Option("mnist_flow.data.augmentation")]
    training: TrainingConfig
    evaluation: EvaluationConfig
    tracking: TrackingConfig

    def list_params(self) -> dict[str, Any]:
        """Flat config paths, as MLflow's params have them."""
        params = flatten(self.model_dump(exclude={"published", "zip", "jobs"}, by_alias=True))
        # Folds take the place of a hold-out, whose size changes nothing then.
        unused = {"data.holdout_size"} if self.data.folds is not None else set()
        return {
            key: value
            for key, value in params.items()
            if key not in unused and (value is not None or key not in _LATER)
        }

    @property
    def task(self) -> Task:
        """What the model is for; it follows from the model."""
        return self.model.task

    @property
    def objectives(self) -> tuple[str, ...]:
        """The metrics that the command returns to a sweeper."""
        chosen = self.evaluation.objective or str(self._find_task().default_objective)
        return tuple(chosen) if isinstance(chosen, list) else (chosen,)

    @property
    def objective(self) -> str:
        """The first of them, by which a grid is sorted."""
        return self.objectives[0]

    def _find_task(self) -> Any:
        # Tasks are above the config, and are found by their names as options are.
        return import_module("mnist_flow.tasks").find_task(self.task)

    @model_validator(mode="after")
    def check_combinations(self) -> TrainConfig:
        self._find_task().check_config(self)
        if self.loss is not None and self.task not in self.loss.tasks:
            raise ValueError(
                f"loss={self.loss.name}: is for {' and '.join(self.loss.tasks)}, and model={self.model.name} for "
                f"{self.task}; leave it out"
            )
        if self.loss is not None and self.training.label_smoothing > 0:
            raise ValueError(
                f"training.label_smoothing={self.training.label_smoothing}: is of the cross-entropy, and loss="
                f"{self.loss.name} takes its place; leave one out"
            )
        if not self.noise.is_redrawn and self.augmentation.name != "none":
            raise ValueError(
                f"noise.redraw=false: fixes the noise of images that stay the same; leave out augmentation="
                f"{self.augmentation.name}"
            )
        if self.seed + self.replicates > 2**32:
            raise ValueError(
                f"replicates={self.replicates}: seeds end at {2**32 - 1}, and seed={self.seed} is the first"
            )
        self.schedule.check_epochs(self.epochs)
        return self
