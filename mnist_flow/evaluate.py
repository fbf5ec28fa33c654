"""Measure logged models anew: python -m mnist_flow.evaluate --help."""

from omegaconf import DictConfig

from mnist_flow import cli


@cli.command("evaluate")
def main(cfg: DictConfig) -> None:
    from mnist_flow.evaluation.orchestrator import evaluate_runs

    with cli.job():
        evaluate_runs(cfg)


if __name__ == "__main__":
    cli.run(main, "evaluate")
