"""What cellplug keeps in a cell's database, beside the service's tables."""
