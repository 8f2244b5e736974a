"""Whose turn it is: partitions, handlers, commits owed, poison messages."""
