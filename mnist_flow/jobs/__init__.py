"""The jobs of a sweep: their composition, their identity, their runs on the tracking server, and tables of them."""
