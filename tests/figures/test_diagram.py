from matplotlib.colors import to_hex

from mnist_flow import figures
from mnist_flow.figures import LayerRow

ROWS = [
    LayerRow("flatten", "Flatten", "784", 0),
    LayerRow("dense_1", "Dense", "100", 78_500),
    LayerRow("probabilities", "Dense", "10", 1_010),
]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_model_diagram_names_every_layer_from_top_to_bottom():
    (axes,) = figures.plot_model_diagram(ROWS, "mlp_100: 79,510 parameters").axes
    assert axes.get_title() == "mlp_100: 79,510 parameters"
    assert [text for text in texts(axes) if text] == [
        *("flatten", "Flatten", "784"),
        *("dense_1", "Dense", "100", "78,500 parameters"),
        *("probabilities", "Dense", "10", "1,010 parameters"),
    ]
    heights = [text.get_position()[1] for text in axes.texts if text.get_text() in ("flatten", "dense_1")]
    assert heights[0] < heights[1]
    assert axes.yaxis_inverted()


def test_model_diagram_joins_its_boxes_by_arrows():
    (axes,) = figures.plot_model_diagram(ROWS, "").axes
    assert len(axes.patches) == 3
    assert sum(getattr(text, "arrow_patch", None) is not None for text in axes.texts) == 2
    colors = [to_hex(box.get_facecolor()) for box in axes.patches]
    assert colors[1] == colors[2] != colors[0]  # layers with parameters stand out
