"""What node and listener agree on; all of the node that the listener imports."""
