"""Train one network, or with -m a sweep of them: python -m mnist_flow.train --help."""

import hydra
from omegaconf import DictConfig

from mnist_flow import CONF_DIR, cli


@hydra.main(version_base="1.3", config_path=CONF_DIR, config_name="config")
def main(cfg: DictConfig) -> float:
    from mnist_flow.runs.orchestrator import run_experiment

    with cli.job():
        return run_experiment(cfg)


if __name__ == "__main__":
    cli.run(main)
