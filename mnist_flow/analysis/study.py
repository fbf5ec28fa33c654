"""One study's story: query, draw, save, log."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from omegaconf import DictConfig

from mnist_flow import tracking
from mnist_flow.analysis import regularization
from mnist_flow.analysis.runs import build_run_table
from mnist_flow.config import AnalyzeConfig, validate_config
from mnist_flow.errors import TrackingError, UserError


def run_study(cfg: DictConfig) -> list[Path]:
    """Draw the study that `cfg` describes from the runs of its experiment.

    Args:
        cfg: the config that Hydra composed from conf/analyze.yaml.

    Returns:
        The files written: PNG, SVG and CSV. They are also logged to the sweeps that the runs belong to.

    Raises:
        UserError: bad config, a tracking server that does not answer, or no runs.
    """
    config = validate_config(cfg, AnalyzeConfig)
    tracking.configure(config.tracking.uri)
    name = tracking.choose_experiment_name(config.tracking.experiment_name)
    experiment_id = tracking.find_experiment(name)
    runs = (
        pd.DataFrame()
        if experiment_id is None
        else tracking.fetch_runs(experiment_id, extra_filter=config.study.filter)
    )
    if runs.empty:
        raise TrackingError(
            f"tracking.experiment_name={name}: no finished runs at {tracking.get_uri()}"
            f"{f' that match study.filter={config.study.filter}' if config.study.filter else ''}; make some: "
            f"python -m mnist_flow.train -m reg=1e-6,1e-5,1e-4 tracking.experiment_name={name}"
        )
    table = build_run_table(runs)
    summary = regularization.summarise(table, config.study.metric)
    figure = regularization.plot_regularization(table, summary, config.study.metric)
    files = _save(Path(config.output_dir), config.study.name, figure, summary)
    for run_id in {*table["parent_run_id"].dropna(), tracking.adopt_analysis()} - {None}:
        tracking.log_files(run_id, files, f"analysis/{config.study.name}")
    print(f"{len(table)} run{'s' if len(table) > 1 else ''} of experiment '{name}':")
    print(summary.to_string(index=False, float_format=lambda value: f"{value:.6g}"))
    print("written: " + " ".join(str(file) for file in files))
    return files


def _save(folder: Path, name: str, figure: Figure, summary: pd.DataFrame) -> list[Path]:
    files = [folder / f"{name}{ending}" for ending in (".png", ".svg", ".csv")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(files[0], dpi=150)
        figure.savefig(files[1])
        summary.to_csv(files[2], index=False)
    except OSError as error:
        raise UserError(f"output_dir={folder}: can't be written ({error.strerror}); choose another folder") from error
    return files
