"""Placement drivers: which cell a new instance is placed in."""
