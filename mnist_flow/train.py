"""Train one network, or with -m a sweep of them: python -m mnist_flow.train --help."""

from omegaconf import DictConfig

from mnist_flow import cli


@cli.command("config")
def main(cfg: DictConfig) -> float:
    from mnist_flow.runs.orchestrator import run_experiment

    with cli.job():
        return run_experiment(cfg)


if __name__ == "__main__":
    cli.run(main)
