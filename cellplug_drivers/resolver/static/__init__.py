"""The ``static`` resolver: the cells stand in the configuration files."""
