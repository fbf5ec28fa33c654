from mnist_flow.models.unet import build_unet
from mnist_flow.runs.record import list_layer_rows


def test_the_diagram_of_a_unet_names_what_its_skip_connections_join_and_shapes_that_fit_each_other():
    rows = list_layer_rows(build_unet((28, 28, 1), [8, 16], 4))
    assert [(row.name, row.kind, row.output_shape) for row in rows] == [
        ("images", "Input", "28 × 28 × 1 → 14 × 14 × 4"),
        ("down_1", "Conv2D", "14 × 14 × 8"),
        ("down_2", "Conv2D", "7 × 7 × 16"),
        ("bottleneck", "Conv2D", "7 × 7 × 4"),
        ("up_1", "Conv2D", "14 × 14 × 8"),
        ("skip_1", "Concatenate + down_1", "14 × 14 × 16"),
        ("merge_1", "Conv2D", "14 × 14 × 8"),
        ("skip_image", "Concatenate + images", "14 × 14 × 12"),
        ("pixels", "Conv2D", "28 × 28 × 1"),
    ]
    assert sum(row.parameters for row in rows) == build_unet((28, 28, 1), [8, 16], 4).count_params()
