"""Measure the project beside the loops that it replaces, and write docs/BENCHMARKS.md.

Every piece of work that ends is kept in docs/benchmarks.json, and later ones are added to it: `--work b,c` measures
only these. `--render` writes the page of what is there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.machine import find_data, has_bfloat16
from benchmarks.measure import measure_work
from benchmarks.processes import CommandError
from benchmarks.report import write_page, write_piece
from benchmarks.work import list_works
from mnist_flow.environment import count_cores

_DOCS = Path(__file__).resolve().parent.parent / "docs"


def main() -> int:
    keys = [work.key for work in list_works()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", default=",".join(keys), help=f"pieces of work: {','.join(keys)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="times that each contender does each; default: 3")
    parser.add_argument("--epochs", type=int, help="of every training instead of its own, for a quick check")
    parser.add_argument("--runs", type=int, help="that the analysis reads instead of 1,000, for a quick check")
    parser.add_argument("--output", type=Path, default=_DOCS, help="folder of benchmarks.json and BENCHMARKS.md")
    parser.add_argument("--torch-python", default=sys.executable, help="the Python with PyTorch, where it is another")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the page")
    arguments = parser.parse_args()
    chosen = arguments.work.split(",")
    if unknown := sorted(set(chosen) - set(keys)):
        parser.error(f"--work {','.join(unknown)}: must be of {','.join(keys)}")
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not arguments.render:
        data = find_data()
        if data is None:
            parser.error("MNIST is not there; MNIST_NPZ=FILE.npz names it")
        works = list_works(arguments.epochs, arguments.runs or 1000, has_bfloat16(), count_cores())
        reduced = arguments.epochs is not None or arguments.runs is not None
        sitting = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        for work in works:
            if work.key not in chosen:
                continue
            try:
                record = measure_work(
                    work, arguments.rounds, str(Path(data).resolve()), arguments.torch_python, _say, reduced
                )
            except CommandError as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
            write_piece(arguments.output, work.key, {**record, "sitting": sitting})
    print(f"written: {write_page(arguments.output, keys)}")
    return 0


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
