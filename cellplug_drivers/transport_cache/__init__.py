"""Transport cache drivers: how long a connection to a queue is kept."""
