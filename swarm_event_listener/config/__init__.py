"""Flags and ``swarm.toml`` to the settings of the listener."""
