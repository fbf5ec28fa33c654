"""Results → RESULTS.md and a self-contained report.html."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from mnist_flow.analysis.results import Comparison
from mnist_flow.environment import describe_machine
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
    figures: Mapping[str, Sequence[Path]]  # SVG files by study
    unfinished: Mapping[str, tuple[int, int]]  # command → jobs to do, of how many
    links: Mapping[str, str]  # run id → its page
    computing_seconds: float  # of all training
    n_runs: int  # finished
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
        "points": lambda share: f"{100 * share:.2f}",
        "embed": _embed,
    }
    context = {
        "report": report,
        "sections": {
            title: [one for one in report.comparisons if one.report == number] for number, title in _REPORTS.items()
        },
        "counts": {agrees: sum(one.verdict.agrees is agrees for one in report.comparisons) for agrees in (True, False)},
        "selections": list(report.selections.itertuples()),
        "machine": describe_machine(),
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
    spread = f" ± {100 * comparison.std:.2f}" if n > 1 else ""
    return f"{100 * comparison.mean:.2f}{spread} % ({n})"


def format_difference(comparison: Comparison) -> str:
    """Ours less published: points of accuracy, or nats, with the half width of the interval that the verdict uses."""
    if math.isnan(comparison.difference):
        return "–"
    if comparison.published.metric == "test_loss":
        width = "" if math.isnan(comparison.verdict.half_width) else f" (±{comparison.verdict.half_width:.4f})"
        return f"{comparison.difference:+.4f}{width}"
    return f"{100 * comparison.difference:+.2f} (±{100 * comparison.verdict.half_width:.2f})"


def describe_verdict(comparison: Comparison) -> str:
    """agrees, differs or why neither can be said; with the explanation where there is one."""
    verdict = comparison.verdict
    words = {True: f"agrees ({verdict.basis})", False: f"differs ({verdict.basis})", None: verdict.basis}
    note = comparison.published.note
    return words[verdict.agrees] + (f": {note}" if note else "")


def _embed(file: Path) -> str:
    """An SVG file as a data URI."""
    return f"data:image/svg+xml;base64,{base64.b64encode(file.read_bytes()).decode()}"
