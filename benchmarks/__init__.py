"""What the project costs beside the loop that a user would write instead: python -m benchmarks --help."""
