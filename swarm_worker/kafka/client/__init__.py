"""The clients of a group: their properties, and how one is made."""
