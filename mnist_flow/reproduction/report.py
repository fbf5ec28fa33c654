"""Write the results: a page per part, and a self-contained report.html with all of them."""

from __future__ import annotations

import base64
import math
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from mnist_flow import CONF_DIR
from mnist_flow.analysis.statistics import STATISTICS
from mnist_flow.config.overrides import type_override
from mnist_flow.errors import UserError
from mnist_flow.reproduction.results import Comparison
from mnist_flow.reproduction.targets import Target, judge_chains, judge_shifts
from mnist_flow.runtime.folders import find_obstacle
from mnist_flow.runtime.terminal import format_mean

_TEMPLATES = Path(__file__).parent / "templates"
# The project's own pages; a wheel has none.
_DOCS = Path(CONF_DIR).parent / "docs"
_REPORTS = {
    "000": "Report 000: widths, learning rates, noise, penalties, a first CNN",
    "001": "Report 001: 64-64, 500-300 with weight decay, LeNet-5",
    "002": "Report 002: 500-300 over linear and logarithmic grids, a CNN",
    "003": "Report 003: a failed run, swapped lists, a large CNN",
    "004": "Report 004: 500-300 again, the best CNN of the five",
}


@dataclass(frozen=True)
class Page:
    """What a part of the reproduction shows, in Markdown and in report.html."""

    part: str  # as the reproduce command has it
    template: str  # begins the names of its templates: reports.md.j2, reports.html.j2
    title: str
    file: str  # of the Markdown
    comparisons: Sequence[Comparison]  # in the order of the reports' rows
    selections: pd.DataFrame  # from `selection.build_selection`, with the twin's published setting as `study`
    figures: Mapping[str, Sequence[Path]]  # SVG files by the arguments of the analyze command that drew them
    tables: Mapping[str, Mapping[str, pd.DataFrame]]  # of the studies, by the same arguments, by what they show
    headings: Mapping[str, Mapping[str, str]]  # of the tables to show, by the same
    unfinished: Mapping[str, tuple[int, int]]  # command → jobs to do, of how many
    links: Mapping[str, str]  # run id → its page
    runs: pd.DataFrame  # the finished ones, see `jobs.tables.build_run_table`
    computing_seconds: float  # of their training
    processors: Sequence[str]  # that trained them
    precisions: Sequence[str]  # that they were trained in, Keras's names
    n_other_code: int  # made by another version of the code than this
    overrides: Sequence[str]  # that make the runs differ from the presets' settings
    chosen: Sequence[str]  # presets that alone were trained with these overrides; empty: all of the part

    @property
    def command(self) -> str:
        """Makes the page, which belongs in another folder where the settings are others than the presets'."""
        words = ["python -m mnist_flow.reproduce", type_override("parts", [self.part])]
        if self.overrides:
            presets = [type_override("presets", list(self.chosen))] if self.chosen else []
            words += [*presets, type_override("overrides", list(self.overrides)), "output_dir=FOLDER"]
        return " ".join(words)

    @property
    def named_tables(self) -> dict[str, pd.DataFrame]:
        """The studies' tables that a page shows, by their headings, in words and condensed."""
        return {
            heading: condense(self.tables[arguments][what]).rename(columns=lambda name: str(name).replace("_", " "))
            for arguments, headings in self.headings.items()
            for what, heading in headings.items()
            if what in self.tables.get(arguments, {})
        }

    @property
    def searches(self) -> list[dict[str, Any]]:
        """Of each search that chose the settings: n trials, how many ended how, and the time of all, h:mm:ss."""
        found = [tables["trials"] for tables in self.list_tables("search")]
        return [
            {"n": len(one), "ended": Counter(one["state"]), "computing": _format_seconds(one["seconds"].sum())}
            for one in found
        ]

    @property
    def changes(self) -> list[Any]:
        """What each change of a setting is worth, of the study of ablations: means and paired differences."""
        return [
            row
            for tables in self.list_tables("ablation")
            for row in tables[""][["changed", "n", "mean", "std"]]
            .merge(tables["differences"][["changed", "difference", "ci_low", "ci_high"]], "left", on="changed")
            .itertuples()
        ]

    @property
    def sections(self) -> dict[str, list[Comparison]]:
        """The comparisons of each report that has some, by its title."""
        by_report = groupby(self.comparisons, lambda one: one.report)
        return {_REPORTS[number]: list(comparisons) for number, comparisons in by_report}

    @property
    def computing(self) -> str:
        """Time of the training, h:mm:ss."""
        return _format_seconds(self.computing_seconds)

    def list_tables(self, study: str) -> list[Mapping[str, pd.DataFrame]]:
        """The tables of each drawing of a study, by what they show."""
        return [tables for arguments, tables in self.tables.items() if arguments.split()[0] == f"study={study}"]

    def judge(self, is_met: bool | None) -> str:
        """Say whether a target is met, where the settings are those that it is about; None: it is not measured."""
        told = {True: "met", False: "missed", None: "not measured"}[is_met]
        return "other settings" if self.overrides else told

    def judge_chains(self, *denoisers: str) -> list[Target]:
        """The targets beyond the reports, of the chains with these denoisers, where they are measured and drawn."""
        return [
            target
            for tables in self.list_tables("denoising")
            for denoiser in denoisers
            for target in judge_chains(tables[""], tables["crossings"], denoiser)
        ]

    def judge_shifts(self) -> list[Target]:
        """The targets of networks on shifted images, where they are measured and drawn."""
        return [target for tables in self.list_tables("shift") for target in judge_shifts(tables["worst"])]

    def list_choices(self, by: str) -> list[Any]:
        """The selections that were made by val_accuracy or by val_loss."""
        return list(self.selections.dropna(subset=by).itertuples()) if by in self.selections else []

    def count(self, agrees: bool) -> int:
        """Number of comparisons whose verdict is that they agree, or that they differ."""
        return sum(one.verdict.agrees is agrees for one in self.comparisons)


def make_folder(folder: Path) -> None:
    """Make the folder of the pages.

    Raises:
        UserError: it can't be made, or can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refuse(folder, error.strerror) from error
    if find_obstacle(folder):
        raise _refuse(folder, "read-only")


def _refuse(folder: Path, reason: str | None) -> UserError:
    return UserError(f"output_dir={folder}: can't be written ({reason}); choose another folder")


def write_report(pages: Sequence[Page], folder: Path) -> list[Path]:
    """Write each page, and report.html with all of them.

    Args:
        pages: what to show; for none nothing is written.
        folder: where; the figures are linked relative to it in the pages and held within report.html.

    Raises:
        UserError: the folder can't be written.
    """
    if not pages:
        return []
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    described = describe_best_on_test, describe_choice, describe_verdict
    numbers = format_amount, format_cell, format_difference, format_interval, format_mean, format_points, format_spread
    results = format_measure, format_reached
    formatted = *described, *numbers, *results, build_heading, embed_svg, mark_code
    environment.filters |= {one.__name__: one for one in formatted}
    texts = {
        page.file: environment.get_template(f"{page.template}.md.j2").render(page=page, folder=folder) for page in pages
    }
    texts = {name: settle_links(text, folder, set(texts)) for name, text in texts.items()}
    texts["report.html"] = environment.get_template("report.html.j2").render(pages=pages)
    make_folder(folder)
    try:
        for name, text in texts.items():
            Path(folder, name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise _refuse(folder, error.strerror) from error
    return [folder / name for name in texts]


def settle_links(text: str, folder: Path, written: Collection[str]) -> str:
    """Lead links to pages that are not in the folder to the project's own; where it has none, write their words alone.

    Args:
        text: Markdown.
        folder: that it is written to.
        written: names of the pages that are written with it.
    """

    def settle(link: re.Match[str]) -> str:
        words, name, heading = link.groups("")
        if name in written or (folder / name).exists():
            return link[0]
        if not (_DOCS / name).exists():
            return words
        return f"[{words}]({Path(os.path.relpath(_DOCS / name, folder.resolve())).as_posix()}{heading})"

    return re.sub(r"\[([^][]+)\]\(([\w-]+\.md)(#[\w-]*)?\)", settle, text)


def _format_seconds(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def format_measure(comparison: Comparison) -> str:
    """Format our mean ± sample standard deviation (n): accuracies in percent, losses in nats."""
    if math.isnan(comparison.mean):
        return "–"
    n = len(comparison.ours)
    if comparison.published.metric == "accuracy_mean_plus_std":
        return f"{100 * comparison.mean:.2f} % = mean + sd ({n})"
    return format_spread(comparison.mean, comparison.std, n, comparison.is_loss)


def format_spread(mean: float, std: float, n: int, is_loss: bool) -> str:
    """Format a mean ± sample standard deviation (n): accuracies in percent, losses in nats."""
    scale, form, unit = (1, ".4f", "") if is_loss else (100, ".2f", " %")
    return f"{format_mean(scale * mean, scale * std, form, unit)} ({n:.0f})"


def condense(table: pd.DataFrame) -> pd.DataFrame:
    """Condense a summary for reading: mean ± sample standard deviation in one column, or one column a measure.

    Args:
        table: of a study; one without the columns of `statistics.summarise` stays as it is.
    """
    if not {"mean", "std"} <= set(table):
        return table
    numbers = zip(table["mean"], table["std"], strict=True)
    texts = [format_mean(mean, std, ".4g", form_of_std=".2g") for mean, std in numbers]
    short = table.drop(columns=STATISTICS).assign(**{"mean ± sd": texts})
    if "measure" not in short:
        return short
    by = [name for name in short if name not in ("measure", "mean ± sd")]
    order = short[by].drop_duplicates()
    wide = short.pivot_table(index=by, columns="measure", values="mean ± sd", aggfunc="first").fillna("–")
    return order.merge(wide[list(short["measure"].unique())].reset_index(), on=by)


def format_cell(value: object) -> str:
    """A cell of a study's table: four digits of a number, a dash where there is none."""
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def format_difference(comparison: Comparison) -> str:
    """Ours less published: points of accuracy, or nats, with the half width of the interval that the verdict uses."""
    if math.isnan(comparison.difference):
        return "–"
    scale, digits = (1, 4) if comparison.is_loss else (100, 2)
    half = comparison.verdict.half_width
    width = "" if math.isnan(half) else f" (±{scale * half:.{digits}f})"
    return f"{scale * comparison.difference:+.{digits}f}{width}"


def format_points(difference: float) -> str:
    """A difference of accuracies in points; a dash where there is none."""
    return "–" if math.isnan(difference) else f"{100 * difference:+.2f}"


def format_interval(change: Any) -> str:
    """The interval of a row of `Page.changes` in points; a dash where there is none."""
    if math.isnan(change.ci_low):
        return "–"
    return f"{format_points(change.ci_low)} to {format_points(change.ci_high)}"


def describe_verdict(comparison: Comparison) -> str:
    """agrees, differs or why neither can be said; with the explanation where there is one."""
    verdict = comparison.verdict
    words = {True: f"agrees ({verdict.basis})", False: f"differs ({verdict.basis})", None: verdict.basis}
    note = comparison.published.note
    return words[verdict.agrees] + (f": {note}" if note else "")


def format_reached(target: Target) -> str:
    """The mean ± sample standard deviation (n) beside a target: recall in percent, lost recall in points."""
    if target.is_met is None:
        return "–"
    text = format_spread(target.mean, target.std, target.n, is_loss=False)
    return text.replace(" %", " points") if target.is_loss else text


def format_amount(value: float, is_loss: bool) -> str:
    """An accuracy in percent, a loss in nats."""
    return f"{value:.4f}" if is_loss else f"{value:.2%}"


def describe_choice(selection: Any) -> str:
    """The chosen setting of a row of `Page.selections`."""
    return f"the only one: {selection.setting}" if selection.settings == 1 else selection.setting


def describe_best_on_test(selection: Any, is_loss: bool) -> str:
    """What the test set would have chosen, of a row of `Page.selections`."""
    if selection.settings == 1:
        return "–"
    return f"{format_amount(selection.best_on_test_mean, is_loss)}: {selection.best_on_test}"


def build_heading(arguments: str) -> str:
    """`study=width tracking.experiment_name=width_holdout` → `Width: width_holdout`."""
    study, _, experiment = arguments.partition(" tracking.experiment_name=")
    name = study.removeprefix("study=").replace("_", " ").capitalize()
    name = re.sub(r"\bcnn\b", "CNN", name, flags=re.IGNORECASE)
    return f"{name}: {experiment}" if experiment else name


def mark_code(text: str) -> Markup:
    """Markdown's `code` as HTML; all else is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just now


def embed_svg(file: Path) -> str:
    """An SVG file as a data URI."""
    return f"data:image/svg+xml;base64,{base64.b64encode(file.read_bytes()).decode()}"
