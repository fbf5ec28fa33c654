"""docs/benchmarks.json → docs/BENCHMARKS.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.statistics import compare, compute_median
from benchmarks.targets import compute_tracking, compute_trial_costs, judge_all, list_reached
from benchmarks.traces import list_traces, plot_traces

_TEMPLATES = Path(__file__).parent / "templates"
_RECORDS, _PAGE, _FIGURE = "benchmarks.json", "BENCHMARKS.md", "images/benchmark_search.png"
# Seconds that a command must last for its memory and processor time to be known, see benchmarks.processes.
_SHORTEST = 1.0
# What two pieces of one sitting have in common.
_SITTING = ("sitting", "commit", "processor", "cores", "memory_gib", "versions")


def read_pieces(folder: Path) -> dict[str, dict[str, Any]]:
    """Records by the key of their work; none where nothing has been measured."""
    file = folder / _RECORDS
    return json.loads(file.read_text(encoding="utf-8"))["pieces"] if file.is_file() else {}


def write_piece(folder: Path, key: str, record: Mapping[str, Any]) -> None:
    """Put a record beside those that are there; one of the same work is replaced."""
    pieces = {**read_pieces(folder), key: record}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"pieces": pieces}, indent=1, ensure_ascii=False) + "\n"
    # Whole or not at all: the sitting may be interrupted here, too.
    new = folder / f"{_RECORDS}.new"
    new.write_text(text, encoding="utf-8")
    new.replace(folder / _RECORDS)


def write_page(folder: Path, order: Sequence[str]) -> Path:
    """Write the page of what the folder holds.

    Args:
        folder: with benchmarks.json; the page comes beside it, and its figure in images/.
        order: keys of the work.
    """
    page, pieces = folder / _PAGE, read_pieces(folder)
    page.write_text(render(pieces, order), encoding="utf-8")
    if "h" in pieces:
        figure = folder / _FIGURE
        figure.parent.mkdir(exist_ok=True)
        # Without the version of the library that draws it, so that the same numbers are the same file.
        plot_traces(pieces["h"]).savefig(figure, dpi=150, metadata={"Software": None})
    return page


def render(pieces: Mapping[str, Mapping[str, Any]], order: Sequence[str]) -> str:
    """The page as Markdown.

    Args:
        pieces: records by the key of their work.
        order: keys of the work; what is not among the pieces is left out.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701 - Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    chosen = {key: pieces[key] for key in order if key in pieces}
    sittings = {json.dumps([piece[name] for name in _SITTING], sort_keys=True) for piece in chosen.values()}
    return environment.get_template("BENCHMARKS.md.j2").render(
        pieces=chosen,
        first=next(iter(chosen.values()), None),
        one_sitting=len(sittings) <= 1,
        rows={key: list_rows(piece) for key, piece in chosen.items()},
        shares={key: list_shares(piece) for key, piece in chosen.items() if piece["gflop"] is not None},
        measured_accuracy={key for key, piece in chosen.items() if _has_accuracy(piece)},
        tracking=compute_tracking(chosen["tracking"]) if "tracking" in chosen else None,
        trial=compute_trial_costs(chosen["g"]) if "g" in chosen else None,
        searches=list_searches(chosen["h"]) if "h" in chosen else [],
        figure=_FIGURE,
        targets=judge_all(chosen),
        describe=describe_sitting,
    )


def describe_sitting(piece: Mapping[str, Any]) -> str:
    """When a piece was measured, and with which code."""
    changed = " with uncommitted changes" if piece["changed"] else ""
    return f"{piece['date']}, commit {piece['commit']}{changed}"


def list_rows(piece: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a contender: title, seconds, minimum and median of the ratio, what else was measured."""
    measurements, measure = piece["measurements"], piece["measure"]
    rows = []
    for name, contender in piece["contenders"].items():
        ratio = compare(measurements, name, contender.get("reference", piece["reference"]), measure)
        own_measure = measure if compute_median(measurements, name, measure) is not None else "seconds"
        seconds = compute_median(measurements, name, own_measure)
        peak = compute_median(measurements, name, "peak_bytes")
        processor = compute_median(measurements, name, "processor_seconds")
        accuracy = compute_median(measurements, name, "test_accuracy")
        own_seconds = compute_median(measurements, name, "seconds")
        # A shorter command was looked at only as it began.
        looked_at = own_seconds is not None and own_seconds >= _SHORTEST
        every = [one[own_measure] for one in measurements if one["contender"] == name]
        rows.append(
            {
                "title": contender["title"],
                "command": contender["command"],
                "seconds": "–" if seconds is None else _format_seconds(seconds),
                "minimum": "–" if ratio is None else f"{ratio.minimum:.2f}",
                "median": "–" if ratio is None else f"{ratio.median:.2f}",
                "every": " ".join(_format_seconds(one) for one in every),
                "peak": f"{peak / 1e9:.2f}" if peak is not None and looked_at else "–",
                "processor": _format_seconds(processor) if processor is not None and looked_at else "–",
                "accuracy": "" if accuracy is None else f"{accuracy:.2%}",
            }
        )
    return rows


def list_searches(piece: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a contender of a work that has traces, with a number a round: seconds, best, and when it had another's."""
    rows = []
    for name, contender in piece["contenders"].items():
        measured = [one for found, _, one in list_traces(piece) if found == name]
        reached = [
            "never" if seconds is None else f"{seconds:.0f} ({seconds / whole:.2f})"
            for seconds, whole in list_reached(piece, name).values()
        ]
        rows.append(
            {
                "title": contender["title"],
                "seconds": ", ".join(f"{one['seconds']:.0f}" for one in measured) or "–",
                "best": ", ".join(f"{one['best']:.2%}" for one in measured) or "–",
                "reached": ", ".join(reached) or "–",
            }
        )
    return rows


def list_shares(piece: Mapping[str, Any]) -> list[dict[str, str]]:
    """A row a contender: GFLOP/s of the work, and the share of the rate of a matrix product with as many threads."""
    rows = []
    all_threads = max(piece["ceiling"], key=int)
    for name, contender in piece["contenders"].items():
        seconds = compute_median(piece["measurements"], name, piece["measure"])
        if seconds is None:
            continue
        threads = "1" if contender["one_thread"] else all_threads
        rate = piece["gflop"] / seconds
        # The ceiling is float32's.
        share = f"{rate / piece['ceiling'][threads]:.0%}" if contender["precision"] == "float32" else "–"
        rows.append({"title": contender["title"], "rate": f"{rate:.0f}", "threads": threads, "share": share})
    return rows


def _has_accuracy(piece: Mapping[str, Any]) -> bool:
    return any("test_accuracy" in one for one in piece["measurements"])


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds >= 10 else f"{seconds:.2f}"
