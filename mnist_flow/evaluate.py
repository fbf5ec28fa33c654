"""Measure logged models anew: python -m mnist_flow.evaluate --help."""

import hydra
from omegaconf import DictConfig

from mnist_flow import CONF_DIR, cli


@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="evaluate")
def main(cfg: DictConfig) -> None:
    from mnist_flow.evaluation.orchestrator import evaluate_runs

    with cli.job():
        evaluate_runs(cfg)


if __name__ == "__main__":
    cli.run(main, "evaluate")
