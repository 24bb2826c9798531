"""What needs real databases, brokers and caches."""
