"""Which studies to reproduce, as conf/reproduce.yaml and conf/parts/ describe it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from mnist_flow.config.overrides import write_override
from mnist_flow.config.section import Section
from mnist_flow.config.tracking import ServerConfig


class EvaluationStep(Section):
    measure: str
    # Of MLflow.
    experiment: str
    # Of the evaluate command.
    overrides: list[str] = Field(default=[])


class StudyStep(Section):
    study: str
    # Instead of the study's own.
    experiment: str | None = None
    # Headings of the study's tables that the page shows, by what the tables show; "" is the study itself.
    tables: dict[str, str] = Field(default={})

    @property
    def arguments(self) -> list[str]:
        """Of the analyze command."""
        chosen = [write_override("tracking.experiment_name", self.experiment)] if self.experiment else []
        return [f"study={self.study}", *chosen]


class Part(Section):
    """A page of the reproduction, and what is needed for it."""

    title: Annotated[str, Field(pattern=r"\S")]
    page: Annotated[str, Field(pattern=r"^[\w-]+\.md$")]
    # In mnist_flow/reproduction/templates; None: by the part's name.
    template: Annotated[str, Field(pattern=r"^\w+$")] | None = None
    presets: Annotated[list[str], Field(min_length=1)]
    # Presets that search a space; what they chose is in the others. The page draws them.
    searches: list[str] = Field(default=[])
    # Launcher of the part's sweeps, where their times are a result; None: that of the command.
    launcher: str | None = None
    # Presets of other parts whose runs this one measures or draws, too.
    needs: list[str] = Field(default=[])
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
