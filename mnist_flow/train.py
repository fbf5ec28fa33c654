"""Train one network, or with -m a sweep of them: python -m mnist_flow.train --help."""

import sys
from pathlib import Path

from omegaconf import DictConfig

if not __package__:
    # Started as a file, as an editor's Run button does: Python looks for packages beside this file only.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from mnist_flow import cli


@cli.command("config")
def main(cfg: DictConfig) -> float | list[float]:
    with cli.job():
        from mnist_flow.runs.orchestrator import run_experiment
        from mnist_flow.sweeps.search.worker import is_search_job, run_trial

        return run_trial() if is_search_job() else run_experiment(cfg)


if __name__ == "__main__":
    cli.run(main)
