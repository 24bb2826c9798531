"""The ``local`` resolver."""
