"""What happens around many runs: the parent run, the workers, and who does what is missing."""
