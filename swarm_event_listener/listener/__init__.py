"""The running listener: one loop, and the hands of the core."""
