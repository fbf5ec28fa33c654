"""Measure the project beside the loops that it replaces, and write docs/BENCHMARKS.md.

Every piece of work that ends is kept in docs/benchmarks.json, and later ones are added to it: `--work b,c` measures
only these. `--render` writes the page of what is there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from benchmarks.machine import find_data, has_bfloat16
from benchmarks.measure import measure_work
from benchmarks.processes import CommandError
from benchmarks.report import write_page, write_piece
from benchmarks.searches import TRIALS
from benchmarks.work import list_works
from mnist_flow.runtime.environment import count_cores

_DOCS = Path(__file__).resolve().parent.parent / "docs"
# That the analysis reads, and trials that a search knows.
_RUNS = 1000


def main() -> int:
    keys = [work.key for work in list_works()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", default=",".join(keys), help=f"pieces of work: {','.join(keys)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="times that each contender does each; default: 3")
    parser.add_argument("--epochs", type=int, help="of every training instead of its own, for a quick check")
    parser.add_argument(
        "--runs",
        type=int,
        default=_RUNS,
        help="that the analysis reads, and trials that (g) knows; others than 1,000 are for a quick check",
    )
    parser.add_argument(
        "--trials", type=int, choices=TRIALS, default=TRIALS[-1], help="of (h); fewer are for a quick check"
    )
    parser.add_argument("--output", type=Path, default=_DOCS, help="folder of benchmarks.json and BENCHMARKS.md")
    parser.add_argument("--torch-python", default=sys.executable, help="the Python with PyTorch, where it is another")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the page")
    arguments = parser.parse_args()
    chosen = arguments.work.split(",")
    if unknown := sorted(set(chosen) - set(keys)):
        parser.error(f"--work {','.join(unknown)}: must be of {','.join(keys)}")
    if arguments.rounds < 1:
        parser.error(f"--rounds {arguments.rounds}: must be at least 1")
    if arguments.epochs is not None and arguments.epochs < 1:
        parser.error(f"--epochs {arguments.epochs}: must be at least 1")
    if arguments.runs < 10 or arguments.runs % 10:
        parser.error(f"--runs {arguments.runs}: must be a multiple of 10, the number of learning rates")
    if not arguments.render:
        data = find_data()
        if data is None or not Path(data).is_file():
            parser.error(f"MNIST is not there{f' ({data})' if data else ''}; MNIST_NPZ=FILE.npz names it")
        if shutil.which(arguments.torch_python) is None:
            parser.error(f"--torch-python {arguments.torch_python}: no such program")
        works = list_works(arguments.epochs, arguments.runs, has_bfloat16(), count_cores(), arguments.trials)
        reduced = arguments.epochs is not None or (arguments.runs, arguments.trials) != (_RUNS, TRIALS[-1])
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
