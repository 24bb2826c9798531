"""Migrations of cellplug's tables; run by cellplug.db.schema."""
