"""How the weight of the L2 penalty changes the result: reports 000-3B, 001-2.4b, 002-2D, 003-2D', 004-2.4."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from mnist_flow.analysis.runs import label_settings

# Error of 784-500-300-10 in the literature.
YARDSTICKS = {
    "LeCun's MNIST page, 500+300 HU, weight decay (1.53 % error)": 0.9847,
    "Hinton, Osindero and Teh 2006, 500-300 (1.51 % error)": 0.9849,
}
# Okabe-Ito without yellow and black.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = "osD^vP"


def summarise(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Replicates to one row a setting and λ.

    Args:
        table: from `build_run_table`.
        metric: the column to summarise.

    Returns:
        Columns setting, reg, n, mean, std (sample standard deviation, ddof = 1; NaN for n = 1), min, max.
    """
    settings = table.assign(setting=label_settings(table, apart_from=("reg", "seed")))
    grouped = settings.groupby(["setting", "reg"])[metric]
    return grouped.agg(n="count", mean="mean", std="std", min="min", max="max").reset_index()


def plot_regularization(table: pd.DataFrame, summary: pd.DataFrame, metric: str) -> Figure:
    """Every replicate as a point, means joined by a line with ± one sample standard deviation; λ on a logarithmic axis.

    Args:
        table: from `build_run_table`.
        summary: from `summarise`, for the same metric.
        metric: the column drawn.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    settings = label_settings(table, apart_from=("reg", "seed"))
    for index, (setting, means) in enumerate(summary.groupby("setting")):
        color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
        points = table[settings == setting]
        axes.plot(points["reg"], points[metric], marker, color=color, alpha=0.45, markersize=4, linestyle="none")
        n = f"n = {means['n'].min()}" if means["n"].nunique() == 1 else f"n = {means['n'].min()} to {means['n'].max()}"
        axes.errorbar(
            means["reg"],
            means["mean"],
            yerr=means["std"].fillna(0),
            color=color,
            marker=marker,
            capsize=3,
            label=f"{setting}: mean ± sample standard deviation, {n}",
        )
    positive = summary.loc[summary["reg"] > 0, "reg"]
    if positive.empty or (summary["reg"] == 0).any():
        # Zero has its place left of the smallest λ.
        smallest = positive.min() if len(positive) else 1e-6
        axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
        axes.set_xlim(left=-smallest / 5)
    else:
        axes.set_xscale("log")
    if set(table["data.name"]) == {"mnist"} and metric in ("test_accuracy", "val_accuracy"):
        for style, (name, value) in zip(("--", ":"), YARDSTICKS.items(), strict=True):
            axes.axhline(value, color="0.35", linestyle=style, linewidth=1, label=name)
    protocols = {"holdout": "λ to be chosen on held-out images", "test": "test set as validation"}
    protocol = " and ".join(sorted(protocols[name] for name in set(table["data.validation"])))
    axes.set(
        xlabel="λ of the L2 penalty λ·Σw² (reg)",
        ylabel=metric.replace("_", " "),
        title=f"L2 regularization on {' and '.join(sorted(set(table['data.name'])))} ({protocol})",
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
