"""The composition root: router, collections, and what ties them together."""
