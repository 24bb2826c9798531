"""Every shipped driver against the suite of its interface."""
