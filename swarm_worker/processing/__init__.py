"""Whose turn it is: partitions, handlers, uncommitted work, poison messages."""
