"""Quota drivers: where limits, usages and reservations are kept."""
