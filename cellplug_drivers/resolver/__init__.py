"""Resolver drivers: where the mapping of instances to cells is looked up."""
