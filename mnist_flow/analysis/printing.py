"""What a study found, on standard output: short tables of what its files have in full."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.analysis.query import StudyRuns
from mnist_flow.analysis.statistics import STATISTICS
from mnist_flow.analysis.style import is_accuracy
from mnist_flow.runtime.terminal import count, format_mean, print_table

# Maximum number of printed rows of a table; its file has all of them.
_MAX_ROWS = 20
# Other columns that have the unit of the metric.
_OF_METRIC = ("binomial_standard_error", "min", "max")
# Columns of the table `selection` that are accuracies.
_OF_SELECTION = ("val_accuracy", "best_on_test_mean")


def print_study(runs: StudyRuns, drawing: Drawing, files: list[Path]) -> None:
    """Print the tables of a study, shortened, and the files that were written."""
    experiments = runs.table["experiment"].unique()
    names = "', '".join(experiments)
    shown = count(len(runs.table), "run") if drawing.parent_run_id is None else f"run {drawing.parent_run_id}"
    print(f"{shown} of {'experiment' if len(experiments) == 1 else 'experiments'} '{names}':")
    saved = [file for file in files if file.suffix == ".csv"]
    for (what, table), file in zip(drawing.tables.items(), saved, strict=True):
        of_accuracy = "val_accuracy" in table or (drawing.metric is not None and is_accuracy(drawing.metric))
        percent = () if not of_accuracy else _OF_SELECTION if what == "selection" else ("mean", *_OF_METRIC)
        first = table.head(_MAX_ROWS)
        # Of several metrics in one table bars would have one scale.
        is_one_metric = what == "" and "mean" in first and "metric" not in first
        bars = first["mean"] if is_one_metric else None
        shortened = shorten(first, of_accuracy)
        metric = drawing.metric if what != "selection" else "test_accuracy" if of_accuracy else "test_loss"
        title = file.stem if metric is None or shortened is first else f"{file.stem}: {metric}"
        print_table(shortened, title, percent, bars)
        if len(table) > _MAX_ROWS:
            print(f"{count(len(table) - _MAX_ROWS, 'more row')} in {file}")
    print("written: " + " ".join(str(file) for file in files))


def shorten(table: pd.DataFrame, of_accuracy: bool) -> pd.DataFrame:
    """Put a mean, or a difference, and its statistics into two columns of text.

    Args:
        table: of a study; one without the columns of `statistics.summarise` or `compare_paired` stays as it is.
        of_accuracy: write fractions in percent, and their differences in points.

    Returns:
        The table with the columns `mean ± sd` (or `difference ± sd`), sd being the sample standard deviation, and `95 %
        interval`, instead of the statistics. What n does not allow is left out. The t interval of a mean accuracy ends
        at 0 and 100 %, also where the tables' files have its ends beyond.
    """
    value = next((name for name in ("mean", "difference") if name in table), None)
    if value is None or not {"std", "ci_low", "ci_high"} <= set(table):
        return table
    of_percent = " points" if value == "difference" else " %"
    scale, form, unit = (100, ".2f", of_percent) if of_accuracy else (1, ".4g", "")
    ends = ["ci_low", "ci_high"]
    numbers = table[[value, "std", *ends]] * scale
    if unit == " %":
        numbers[ends] = numbers[ends].clip(0, 100)
    texts = [
        (format_mean(mean, std, form, unit), "" if math.isnan(low) else f"{low:{form}} to {high:{form}}{unit}")
        for mean, std, low, high in numbers.itertuples(index=False)
    ]
    short = table.drop(columns=[name for name in (value, *STATISTICS) if name in table])
    place = list(table).index(value)
    for further, name in enumerate((f"{value} ± sd", "95 % interval")):
        short.insert(place + further, name, [text[further] for text in texts])
    return short
