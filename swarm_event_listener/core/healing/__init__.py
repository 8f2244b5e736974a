"""What is due for a node, what speaks against it, and the beginning of restarts."""
