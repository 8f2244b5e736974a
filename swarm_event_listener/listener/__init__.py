"""The running listener: one loop, and what carries out the core's actions."""
