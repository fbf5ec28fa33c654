"""What a sweep consists of: jobs, their identity, what is known of each, and tables of them."""
