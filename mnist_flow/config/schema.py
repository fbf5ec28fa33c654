"""The schema of the training config: types and ranges. The defaults live in conf/.

`validate_config` turns what Hydra composed into frozen, typed objects before anything slow or lasting happens.
Nothing here imports TensorFlow or MLflow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mnist_flow.errors import ConfigError
from mnist_flow.runtime.suggestions import did_you_mean

Share = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
ExperimentName = Annotated[str, Field(pattern=r"\S")]
Direction = Literal["right", "left", "up", "down", "up_right", "up_left", "down_right", "down_left"]
Activation = Literal["relu", "sigmoid", "tanh", "elu", "gelu", "silu", "leaky_relu", "selu", "linear"]


class Section(BaseModel):
    """A part of the config: unknown keys, wrong types, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


# Beginnings of the keys that say how often, where and how fast a run goes, not what comes out of it.
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
)

SectionT = TypeVar("SectionT", bound=Section)


class DataConfig(Section):
    name: Literal["mnist", "digits"]
    path: str | None
    validation: Literal["holdout", "test"]
    holdout_size: Count
    split_seed: Seed
    scale: Positive

    @model_validator(mode="after")
    def check_path(self) -> DataConfig:
        if self.name == "digits" and self.path is not None:
            raise ValueError(f"data.path={self.path}: belongs to data=mnist; the digits come with scikit-learn")
        return self


class MLPConfig(Section):
    name: Name
    family: Literal["mlp"]
    hidden_units: list[Count]
    activation: Activation
    dropout: Share
    batch_normalization: bool
    regularized_layers: Literal["all"] | list[str]

    @model_validator(mode="after")
    def check_layers(self) -> MLPConfig:
        _check_regularized_layers(self.regularized_layers, _numbered("dense", len(self.hidden_units)))
        return self


class BlockConfig(Section):
    filters: Annotated[list[Count], Field(min_length=1)]
    kernel_size: Count
    pool_size: Count


class CNNConfig(Section):
    name: Name
    family: Literal["cnn"]
    zero_padding: Annotated[int, Field(ge=0)]
    blocks: Annotated[list[BlockConfig], Field(min_length=1)]
    pooling: Literal["max", "average"]
    convolution_dropout: Share
    hidden_units: list[Count]
    hidden_dropout: list[Share]
    activation: Activation
    hidden_activation: Activation
    batch_normalization: bool
    regularized_layers: Literal["all"] | list[str]

    @model_validator(mode="after")
    def check_layers(self) -> CNNConfig:
        convolutions = sum(len(block.filters) for block in self.blocks)
        names = _numbered("conv", convolutions) + _numbered("dense", len(self.hidden_units))
        _check_regularized_layers(self.regularized_layers, names)
        if len(self.hidden_dropout) != len(self.hidden_units):
            raise ValueError(
                f"model.hidden_dropout={self.hidden_dropout}: needs one number for each of "
                f"model.hidden_units={self.hidden_units}"
            )
        size = 28 + 2 * self.zero_padding
        for number, block in enumerate(self.blocks, start=1):
            size = (size - len(block.filters) * (block.kernel_size - 1)) // block.pool_size
            if size < 1:
                raise ValueError(
                    f"model.blocks: nothing is left of the 28×28 image after block {number}; "
                    "use smaller kernels or pools"
                )
        return self


class AutoencoderConfig(Section):
    name: Name
    family: Literal["autoencoder"]
    hidden_units: list[Count]
    latent_units: Count
    activation: Activation
    latent_activation: Activation


class ConvAutoencoderConfig(Section):
    name: Name
    family: Literal["conv_autoencoder"]
    # A third halving would leave no whole number of pixels.
    filters: Annotated[list[Count], Field(min_length=1, max_length=2)]
    latent_filters: Count
    kernel_size: Count
    activation: Activation


class UNetConfig(Section):
    name: Name
    family: Literal["unet"]
    # A third halving would leave no whole number of pixels.
    filters: Annotated[list[Count], Field(min_length=1, max_length=2)]
    bottleneck_filters: Count
    kernel_size: Count
    activation: Activation


class CVAEConfig(Section):
    name: Name
    family: Literal["cvae"]
    hidden_units: list[Count]
    latent_units: Count
    activation: Activation


ModelConfig = Annotated[
    MLPConfig | CNNConfig | AutoencoderConfig | ConvAutoencoderConfig | UNetConfig | CVAEConfig,
    Field(discriminator="family"),
]
# What a network is trained for: to name digits, to draw the clean image, or to make images of a class.
Task = Literal["classification", "reconstruction", "generation"]


class SGDConfig(Section):
    name: Literal["sgd"]
    learning_rate: Positive
    momentum: Share
    nesterov: bool

    @model_validator(mode="after")
    def check_nesterov(self) -> SGDConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("optimizer.nesterov=true: needs momentum; set optimizer.momentum=0.9, say")
        return self


class AdamConfig(Section):
    name: Literal["adam"]
    learning_rate: Positive
    beta_1: Share
    beta_2: Share


class AdamWConfig(Section):
    name: Literal["adamw"]
    learning_rate: Positive
    beta_1: Share
    beta_2: Share
    weight_decay: NonNegative


class RMSpropConfig(Section):
    name: Literal["rmsprop"]
    learning_rate: Positive
    rho: Share
    momentum: Share


OptimizerConfig = Annotated[SGDConfig | AdamConfig | AdamWConfig | RMSpropConfig, Field(discriminator="name")]


class ConstantConfig(Section):
    name: Literal["constant"]


class CosineConfig(Section):
    name: Literal["cosine"]
    warmup_epochs: NonNegative
    final_fraction: Fraction


class StepConfig(Section):
    name: Literal["step"]
    step_epochs: Count
    factor: Annotated[float, Field(gt=0, le=1)]


class PlateauConfig(Section):
    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Count
    min_learning_rate: NonNegative


ScheduleConfig = Annotated[ConstantConfig | CosineConfig | StepConfig | PlateauConfig, Field(discriminator="name")]


class NoNoiseConfig(Section):
    name: Literal["none"]


class GaussianConfig(Section):
    name: Literal["gaussian"]
    stddev: NonNegative
    min_stddev: NonNegative | None
    redraw: bool

    @model_validator(mode="after")
    def check_range(self) -> GaussianConfig:
        if self.min_stddev is not None and self.min_stddev > self.stddev:
            raise ValueError(f"noise.min_stddev={self.min_stddev}: must be at most noise.stddev={self.stddev}")
        return self


class SaltAndPepperConfig(Section):
    name: Literal["salt_and_pepper"]
    level: Fraction
    min_level: Fraction | None
    redraw: bool

    @model_validator(mode="after")
    def check_range(self) -> SaltAndPepperConfig:
        if self.min_level is not None and self.min_level > self.level:
            raise ValueError(f"noise.min_level={self.min_level}: must be at most noise.level={self.level}")
        return self


NoiseConfig = Annotated[NoNoiseConfig | GaussianConfig | SaltAndPepperConfig, Field(discriminator="name")]


class NoAugmentationConfig(Section):
    name: Literal["none"]


class ShiftConfig(Section):
    name: Literal["shift"]
    max_pixels: Annotated[int, Field(ge=0, le=27)]


class AffineConfig(Section):
    name: Literal["affine"]
    rotation: Annotated[float, Field(ge=0, le=180)]
    zoom: Share
    shift: Fraction


AugmentationConfig = Annotated[NoAugmentationConfig | ShiftConfig | AffineConfig, Field(discriminator="name")]


class TrainingConfig(Section):
    monitor: Literal["val_loss", "val_accuracy"]
    early_stopping_patience: Count | None
    keep_best_epoch: bool
    ema_momentum: Share | None
    label_smoothing: Share
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    threads: Count | None
    steps_per_execution: Count
    checkpoint_dir: Annotated[str, Field(min_length=1)] | None


class EvaluationConfig(Section):
    batch_size: Count
    objective: Literal["val_accuracy", "val_loss", "test_accuracy", "test_loss"] | None
    misclassified: Annotated[int, Field(ge=0, le=100)]
    noise_levels: Annotated[list[Fraction], Field(min_length=1, max_length=21)]
    quality_images: Count
    samples_every: Count


class ServerConfig(Section):
    uri: str | None


class AnalyzeTrackingConfig(ServerConfig):
    # None: the experiments of the study.
    experiment_name: ExperimentName | None


class SyncTrackingConfig(ServerConfig):
    undelivered_dir: Annotated[str, Field(min_length=1)]


class EvaluateTrackingConfig(SyncTrackingConfig):
    experiment_name: ExperimentName
    patience: NonNegative
    stale_after: Annotated[float, Field(ge=120)]
    changed_code: Literal["keep", "retrain"]


class TrackingConfig(EvaluateTrackingConfig):
    run_name: str | None
    system_metrics: bool
    log_model: bool
    rerun_of: str | None


class PublishedResult(Section):
    """What a report printed about a setting of a study."""

    # As EXPERIMENTS of the five reports number them, say 000-2B: report, section.
    row: Annotated[str, Field(pattern=r"^00[0-4]-")]
    # In the report's words and digits.
    statement: Annotated[str, Field(min_length=1)]
    # Config paths and values that pick the setting, or columns and values of the table that evaluate logs; empty: the
    # study has one setting.
    at: dict[str, float | str]
    # shifted_accuracy: from the table `shift`. accuracy_mean_plus_std: of the test accuracies of some runs. finding:
    # what a figure of the report shows, which `note` answers in words.
    metric: Literal["test_accuracy", "test_loss", "loss", "shifted_accuracy", "accuracy_mean_plus_std", "finding"]
    # Every replicate that was printed, or one mean; accuracies as fractions. Empty: the report shows a curve only.
    values: list[Annotated[float, Field(ge=0)]]
    # Replicates behind a single printed mean.
    mean_of: Count
    # What explains a difference, or what the report mixed up.
    note: str = ""


class Published(Section):
    """What the reports say of a study: the part of a preset that no run depends on."""

    setting: Annotated[str, Field(min_length=1)]
    results: list[PublishedResult]


class TrainConfig(Section):
    """One training run, as `conf/config.yaml` and its groups describe it."""

    reg: NonNegative
    seed: Seed
    epochs: Count
    batch_size: Count
    replicates: Count
    resume: bool
    plan: bool
    published: Published | None
    data: DataConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    noise: NoiseConfig
    augmentation: AugmentationConfig
    training: TrainingConfig
    evaluation: EvaluationConfig
    tracking: TrackingConfig

    def list_params(self) -> dict[str, Any]:
        """Flat config paths, as MLflow's params have them."""
        return flatten(self.model_dump(exclude={"published"}))

    @property
    def task(self) -> Task:
        """What the model is for; it follows from the model."""
        match self.model:
            case AutoencoderConfig() | ConvAutoencoderConfig() | UNetConfig():
                return "reconstruction"
            case CVAEConfig():
                return "generation"
        return "classification"

    @property
    def objective(self) -> str:
        """The metric that the command returns to a sweeper."""
        return self.evaluation.objective or ("val_accuracy" if self.task == "classification" else "val_loss")

    @model_validator(mode="after")
    def check_combinations(self) -> TrainConfig:
        if self.task != "classification":
            self._check_drawing()
        if self.task == "generation" and not isinstance(self.noise, NoNoiseConfig):
            raise ValueError(
                f"noise={self.noise.name}: model={self.model.name} learns from clean images; leave it out, or choose "
                "an autoencoder"
            )
        redrawn = not isinstance(self.noise, GaussianConfig | SaltAndPepperConfig) or self.noise.redraw
        if not redrawn and not isinstance(self.augmentation, NoAugmentationConfig):
            raise ValueError(
                f"noise.redraw=false: fixes the noise of images that stay the same; leave out augmentation="
                f"{self.augmentation.name}"
            )
        if self.seed + self.replicates > 2**32:
            raise ValueError(
                f"replicates={self.replicates}: seeds end at {2**32 - 1}, and seed={self.seed} is the first"
            )
        if isinstance(self.schedule, CosineConfig) and self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs={self.schedule.warmup_epochs}: must be less than epochs={self.epochs}"
            )
        return self

    def _check_drawing(self) -> None:
        """Refuse what only a classifier has."""
        why = f"belongs to classifiers, and model={self.model.name} draws images"
        if self.reg > 0:
            raise ValueError(f"reg={self.reg}: {why}; leave it out")
        if self.training.label_smoothing > 0:
            raise ValueError(f"training.label_smoothing={self.training.label_smoothing}: {why}; leave it out")
        if self.training.monitor == "val_accuracy":
            raise ValueError(f"training.monitor=val_accuracy: {why}; choose val_loss")
        if self.evaluation.objective in ("val_accuracy", "test_accuracy"):
            raise ValueError(f"evaluation.objective={self.evaluation.objective}: {why}; choose val_loss or test_loss")


# Of a finished run. None: the test accuracy, or the validation accuracy where that is what settings are chosen by.
StudyMetric = Literal["test_accuracy", "val_accuracy", "test_loss", "test_cross_entropy", "val_loss"] | None


class _StudyKeys(Section):
    """What all studies have."""

    # Of MLflow.
    experiments: Annotated[list[ExperimentName], Field(min_length=1)]
    # A further condition in MLflow's language.
    filter: str | None


class CurvesStudy(_StudyKeys):
    name: Literal["curves"]


class LearningRateStudy(_StudyKeys):
    name: Literal["learning_rate"]
    metric: StudyMetric
    # The learning rate that others are compared with, seed by seed; None: the smallest.
    reference: Positive | None


class WidthStudy(_StudyKeys):
    name: Literal["width"]
    metric: StudyMetric
    # Units that others are compared with, seed by seed; None: the fewest.
    reference: Count | None


class RegularizationStudy(_StudyKeys):
    name: Literal["regularization"]
    metric: StudyMetric
    # The λ that others are compared with, seed by seed; None: the smallest.
    reference: NonNegative | None


class NoiseLayerStudy(_StudyKeys):
    name: Literal["noise_layer"]
    metric: StudyMetric
    # The standard deviation that others are compared with, seed by seed; None: the smallest.
    reference: NonNegative | None


class CNNStudy(_StudyKeys):
    name: Literal["cnn"]
    metric: StudyMetric


class ConfusionStudy(_StudyKeys):
    name: Literal["confusion"]
    # Rows of the table of confused pairs, for each setting.
    pairs: Count


class ShiftStudy(_StudyKeys):
    name: Literal["shift"]
    directions: Annotated[list[Direction], Field(min_length=1)]
    # The model that others are compared with, seed by seed, as the figure's legend names it; None: no comparison.
    reference: str | None


class DenoisingStudy(_StudyKeys):
    name: Literal["denoising"]


class FeatureMapsStudy(_StudyKeys):
    name: Literal["feature_maps"]


class LatentStudy(_StudyKeys):
    name: Literal["latent"]


class SynthesisStudy(_StudyKeys):
    name: Literal["synthesis"]


class CompareStudy(_StudyKeys):
    """Any runs, any metric, by any param."""

    name: Literal["compare"]
    # Any metric that the runs have.
    metric: str
    # Params: the horizontal axis, and what tells lines apart; None: whatever else varies.
    x: str
    by: str | None
    # Value of `by`, or of `x` where nothing tells lines apart, that others are compared with; None: the first.
    reference: str | float | bool | None


Study = Annotated[
    CurvesStudy
    | LearningRateStudy
    | WidthStudy
    | RegularizationStudy
    | NoiseLayerStudy
    | CNNStudy
    | ConfusionStudy
    | ShiftStudy
    | DenoisingStudy
    | FeatureMapsStudy
    | LatentStudy
    | SynthesisStudy
    | CompareStudy,
    Field(discriminator="name"),
]


class AnalyzeConfig(Section):
    """One comparison of runs, as `conf/analyze.yaml` and its groups describe it."""

    output_dir: Annotated[str, Field(min_length=1)]
    study: Study
    tracking: AnalyzeTrackingConfig


class EvaluationStep(Section):
    measure: str
    # Of MLflow.
    experiment: str
    # Of the evaluate command.
    overrides: list[str] = []


class StudyStep(Section):
    study: str
    # Instead of the study's own.
    experiment: str | None = None


class Part(Section):
    """A page of the reproduction, and what is needed for it."""

    title: Annotated[str, Field(pattern=r"\S")]
    page: Annotated[str, Field(pattern=r"^[\w-]+\.md$")]
    # In mnist_flow/analysis/templates; None: by the part's name.
    template: Annotated[str, Field(pattern=r"^\w+$")] | None = None
    presets: Annotated[list[str], Field(min_length=1)]
    # Presets of other parts whose runs this one measures or draws, too.
    needs: list[str] = []
    evaluations: list[EvaluationStep]
    studies: list[StudyStep]


class ReproduceConfig(Section):
    """Which studies to reproduce, as `conf/reproduce.yaml` and `conf/parts/` describe it."""

    parts: dict[str, Part]
    presets: Literal["all"] | list[str]
    overrides: list[str]
    launcher: str
    output_dir: Annotated[str, Field(min_length=1)]
    plan: bool
    tracking: ServerConfig

    @model_validator(mode="after")
    def check_choice(self) -> ReproduceConfig:
        for key, chosen in (("parts", self.parts), ("presets", self.presets)):
            if not chosen:
                raise ValueError(f"{key}: nothing is chosen; leave it out for all")
        return self

    @model_validator(mode="after")
    def check_output(self) -> ReproduceConfig:
        if self.overrides and Path(self.output_dir) == Path("docs"):
            raise ValueError(
                f"output_dir={self.output_dir}: holds the reports' results, and overrides={self.overrides} are other "
                "settings; choose another folder: output_dir=figures/reproduction"
            )
        return self


class ShiftMeasure(Section):
    max_pixels: Annotated[int, Field(ge=1, le=27)]
    directions: Annotated[list[Direction], Field(min_length=1)]
    fills: Annotated[list[Literal["wrap", "zero"]], Field(min_length=1)]


class GaussianMeasure(Section):
    stddevs: Annotated[list[NonNegative], Field(min_length=1)]
    draws: Count
    seed: Seed


class SaltAndPepperMeasure(Section):
    levels: Annotated[list[Fraction], Field(min_length=1)]
    draws: Count
    seed: Seed


class RotationMeasure(Section):
    degrees: Annotated[list[Annotated[float, Field(ge=-180, le=180)]], Field(min_length=1)]


class _PartnerKeys(Section):
    # Of a training run; None: chosen among the runs of experiment_name.
    run_id: Annotated[str, Field(pattern=r"^\w+$")] | None
    filter: str | None
    choose: Literal["same_seed", "best"]


class PartnerConfig(_PartnerKeys):
    """Another trained model that takes part in a measure."""

    experiment_name: ExperimentName


class OptionalPartnerConfig(_PartnerKeys):
    """The same, or with neither run nor experiment the measured model itself."""

    experiment_name: ExperimentName | None


class DenoisingMeasure(Section):
    noise: Literal["salt_and_pepper", "gaussian"]
    levels: Annotated[list[Fraction], Field(min_length=1)]
    draws: Count
    seed: Seed
    quality_images: Count
    shown_levels: Annotated[list[Fraction], Field(min_length=1)]
    denoiser: PartnerConfig


class FeatureMapsMeasure(Section):
    digits: Annotated[list[Annotated[int, Field(ge=0, le=9)]], Field(min_length=1)]
    layers: Literal["all"] | Annotated[list[str], Field(min_length=1)]


class LatentMeasure(Section):
    k: Count
    neighbours_from: Count


Way = Literal["interpolation", "salted_codes", "random_codes", "noise_codes", "gaussian_mixture", "conditional_decoder"]


class MixtureConfig(Section):
    components: Count
    max_dimensions: Count
    keep: Annotated[float, Field(gt=0, le=1)]


class SynthesisMeasure(Section):
    ways: Literal["all"] | Annotated[list[Way], Field(min_length=1)]
    samples: Count
    seed: Seed
    salt_level: Fraction
    noise_level: Fraction
    mixture: MixtureConfig
    judge: PartnerConfig
    sharpener: OptionalPartnerConfig


Measure = (
    ShiftMeasure
    | GaussianMeasure
    | SaltAndPepperMeasure
    | RotationMeasure
    | DenoisingMeasure
    | FeatureMapsMeasure
    | LatentMeasure
    | SynthesisMeasure
)


class MeasureConfig(Section):
    """What is measured: the options of conf/measure that were chosen."""

    shift: ShiftMeasure | None = None
    gaussian: GaussianMeasure | None = None
    salt_and_pepper: SaltAndPepperMeasure | None = None
    rotation: RotationMeasure | None = None
    denoising: DenoisingMeasure | None = None
    feature_maps: FeatureMapsMeasure | None = None
    latent: LatentMeasure | None = None
    synthesis: SynthesisMeasure | None = None

    @model_validator(mode="after")
    def check_lists(self) -> MeasureConfig:
        chosen = self.list_chosen()
        if not chosen:
            raise ValueError(f"measure: nothing is chosen; choose from {' '.join(type(self).model_fields)}")
        for name, section in chosen.items():
            for key, values in section:
                if isinstance(values, list) and len(set(values)) < len(values):
                    raise ValueError(f"measure.{name}.{key}={values}: holds a value twice")
        return self

    def list_chosen(self) -> dict[str, Measure]:
        """The chosen measures by name."""
        return {name: section for name, section in self if section is not None}


class MeasuredDataConfig(Section):
    path: str | None


class EvaluateConfig(Section):
    """A measurement of runs, as `conf/evaluate.yaml` and its groups describe it."""

    run_ids: list[Annotated[str, Field(pattern=r"^\w+$")]]
    filter: str | None
    choose: Literal["all", "best"]
    resume: bool
    batch_size: Count
    threads: Count | None
    data: MeasuredDataConfig
    measure: MeasureConfig
    tracking: EvaluateTrackingConfig

    @model_validator(mode="after")
    def check_choice(self) -> EvaluateConfig:
        if self.run_ids and self.filter is not None:
            raise ValueError(f"filter={self.filter}: chooses among the runs of an experiment; leave out run_ids")
        if self.run_ids and self.choose == "best":
            raise ValueError("choose=best: chooses among the runs of an experiment; leave out run_ids")
        return self


class SyncConfig(Section):
    """What `conf/sync.yaml` describes."""

    tracking: SyncTrackingConfig


def validate_config(cfg: DictConfig, schema: type[SectionT]) -> SectionT:
    """Check types, keys and ranges of a composed config.

    Args:
        cfg: what Hydra composed.
        schema: TrainConfig, AnalyzeConfig, EvaluateConfig, ReproduceConfig or SyncConfig.

    Raises:
        ConfigError: one line naming the key, the value and what is allowed.
    """
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key or 'config'}: {str(error).splitlines()[0]}") from error
    try:
        return schema.model_validate(plain)
    except ValidationError as error:
        raise ConfigError("; ".join(_describe(detail, plain) for detail in error.errors())) from error


def flatten(cfg: DictConfig | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested config to override paths: {"optimizer": {"name": "sgd"}} gives {"optimizer.name": "sgd"}.

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


def _numbered(kind: str, count: int) -> list[str]:
    return [f"{kind}_{number}" for number in range(1, count + 1)]


def _check_regularized_layers(chosen: str | list[str], names: list[str]) -> None:
    for name in chosen if isinstance(chosen, list) else []:
        if name not in names:
            raise ValueError(
                f"model.regularized_layers: no hidden layer '{name}'; choose all, or from {' '.join(names)}"
            )


def _describe(detail: Any, plain: Any) -> str:
    """One pydantic error as `key=value: what is allowed`."""
    path = _strip_tags(detail["loc"], plain)
    value = detail["input"]
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "extra_forbidden":
        known = [key for key in flatten(plain) if key != path]
        return f"{path}: unknown key{did_you_mean(path, known)}"
    if detail["type"] == "missing":
        return f"{path}: missing"
    if detail["type"] == "union_tag_invalid":
        tag = detail["ctx"]["discriminator"].strip("'")
        return f"{path}.{tag}={detail['ctx']['tag']}: must be one of {detail['ctx']['expected_tags']}"
    text = "null" if value is None else " ".join(str(value).split())
    message = detail["msg"].replace("Input should be", "must be")
    return f"{path}={text}: {message}"


def _strip_tags(loc: tuple[int | str, ...], plain: Any) -> str:
    """The config path of an error; pydantic's location also names the union member, which is no key of the config."""
    parts: list[str] = []
    node = plain
    for index, step in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(node, dict) and (step in node or last):
            node = node.get(step)
            parts.append(str(step))
        elif isinstance(node, list) and isinstance(step, int):
            node = node[step]
            parts[-1] += f"[{step}]"
    return ".".join(parts)
