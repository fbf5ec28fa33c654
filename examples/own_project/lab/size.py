"""Does a larger network pay? Test accuracy over the number of parameters: every run, and the mean of each size."""

from matplotlib.figure import Figure

from mnist_flow.analysis.drawing import Drawing
from mnist_flow.config.analyze import StudySection


class Config(StudySection):
    metric: str


def draw(runs, study):
    means = runs.table.groupby("n_parameters", as_index=False)[study.metric].agg(["mean", "std", "count"])
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.set(title="Dots: runs. Bars: means over seeds.", xlabel="parameters", ylabel=study.metric)
    axes.plot(runs.table["n_parameters"], runs.table[study.metric], "o", means["n_parameters"], means["mean"], "k_-")
    return Drawing({"": figure}, {"": means})
