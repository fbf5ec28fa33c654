"""What the five reports printed of a study: the part of a preset that no run depends on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mnist_flow.config.section import Count, Section


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
