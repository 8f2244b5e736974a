"""A client of a group: its properties, and the polls."""
