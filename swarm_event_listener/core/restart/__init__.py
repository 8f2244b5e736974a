"""One restart, step by step, and what the next listener makes of it."""
