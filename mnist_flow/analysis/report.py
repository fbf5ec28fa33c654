"""Results → RESULTS.md and a self-contained report.html."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from mnist_flow.analysis.results import Comparison
from mnist_flow.errors import UserError

_TEMPLATES = Path(__file__).parent / "templates"
_REPORTS = {
    "000": "Report 000: widths, learning rates, noise, penalties, a first CNN",
    "001": "Report 001: 64-64, 500-300 with weight decay, LeNet-5",
    "002": "Report 002: 500-300 over linear and logarithmic grids, a CNN",
    "003": "Report 003: a failed run, swapped lists, a large CNN",
    "004": "Report 004: 500-300 again, the best CNN of the five",
}


@dataclass(frozen=True)
class Report:
    """All that RESULTS.md and report.html show."""

    comparisons: Sequence[Comparison]
    selections: pd.DataFrame  # from `selection.build_selection`, with the twin's published setting as `study`
    figures: Mapping[str, Sequence[Path]]  # SVG files by the arguments of the analyze command that drew them
    unfinished: Mapping[str, tuple[int, int]]  # command → jobs to do, of how many
    links: Mapping[str, str]  # run id → its page
    n_runs: int  # finished
    computing_seconds: float  # of their training
    processors: Sequence[str]  # that trained them
    n_other_code: int  # made by another version of the code than this
    overrides: Sequence[str]  # that make the runs differ from the reports' settings


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write RESULTS.md and report.html.

    Args:
        report: what to show.
        folder: where; the figures are linked relative to it in RESULTS.md and held within report.html.

    Raises:
        UserError: the folder can't be written.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html.j2"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "measure": format_measure,
        "difference": format_difference,
        "verdict": describe_verdict,
        "percent": lambda share: f"{share:.2%}",
        "spread": format_spread,
        "code": _mark_code,
        "heading": _build_heading,
        "embed": _embed,
    }
    comparisons = sorted(report.comparisons, key=lambda one: one.published.row)
    context = {
        "report": report,
        "sections": {title: [one for one in comparisons if one.report == number] for number, title in _REPORTS.items()},
        "counts": {agrees: sum(one.verdict.agrees is agrees for one in report.comparisons) for agrees in (True, False)},
        "selections": list(report.selections.itertuples()),
        "computing": str(timedelta(seconds=round(report.computing_seconds))),
        "folder": folder,
    }
    files = [folder / "RESULTS.md", folder / "report.html"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            file.write_text(environment.get_template(f"{file.name}.j2").render(context), encoding="utf-8")
    except OSError as error:
        raise UserError(f"output_dir={folder}: can't be written ({error.strerror}); choose another folder") from error
    return files


def format_measure(comparison: Comparison) -> str:
    """Our mean ± sample standard deviation (n): accuracies in percent, losses in nats."""
    if math.isnan(comparison.mean):
        return "–"
    n = len(comparison.ours)
    if comparison.published.metric == "test_loss":
        spread = f" ± {comparison.std:.4f}" if n > 1 else ""
        return f"{comparison.mean:.4f}{spread} ({n})"
    if comparison.published.metric == "accuracy_mean_plus_std":
        return f"{100 * comparison.mean:.2f} % = mean + sd ({n})"
    return format_spread(comparison.mean, comparison.std, n)


def format_spread(mean: float, std: float, n: int) -> str:
    """A mean of accuracies ± sample standard deviation (n), in percent."""
    spread = f" ± {100 * std:.2f}" if n > 1 else ""
    return f"{100 * mean:.2f}{spread} % ({n:.0f})"


def format_difference(comparison: Comparison) -> str:
    """Ours less published: points of accuracy, or nats, with the half width of the interval that the verdict uses."""
    if math.isnan(comparison.difference):
        return "–"
    is_loss = comparison.published.metric == "test_loss"
    scale, digits = (1, 4) if is_loss else (100, 2)
    half = comparison.verdict.half_width
    width = "" if math.isnan(half) else f" (±{scale * half:.{digits}f})"
    return f"{scale * comparison.difference:+.{digits}f}{width}"


def describe_verdict(comparison: Comparison) -> str:
    """agrees, differs or why neither can be said; with the explanation where there is one."""
    verdict = comparison.verdict
    words = {True: f"agrees ({verdict.basis})", False: f"differs ({verdict.basis})", None: verdict.basis}
    note = comparison.published.note
    return words[verdict.agrees] + (f": {note}" if note else "")


def _build_heading(arguments: str) -> str:
    """`study=width tracking.experiment_name=width_holdout` → `Width: width_holdout`."""
    study, _, experiment = arguments.partition(" tracking.experiment_name=")
    name = study.removeprefix("study=").replace("_", " ")
    name = "CNN" if name == "cnn" else name.capitalize()
    return f"{name}: {experiment}" if experiment else name


def _mark_code(text: str) -> Markup:
    """Markdown's `code` as HTML; all else is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just now


def _embed(file: Path) -> str:
    """An SVG file as a data URI."""
    return f"data:image/svg+xml;base64,{base64.b64encode(file.read_bytes()).decode()}"
