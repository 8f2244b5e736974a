"""Which batch is next: partitions, handlers, uncommitted work, poison messages."""
