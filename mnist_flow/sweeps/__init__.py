"""What happens around the jobs of a sweep: checks, the parent run, launching what is missing, tables, workers."""
