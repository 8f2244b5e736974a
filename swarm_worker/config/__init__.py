"""Flags and ``swarm.toml`` to the settings of a node."""
