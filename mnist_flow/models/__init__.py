"""Network architectures, one family a file. Every model takes float32 images (batch, 28, 28, 1) in [0, 1]."""
