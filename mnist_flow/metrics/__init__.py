"""Arrays in, numbers out: how good predictions, reconstructions and generated images are."""
