"""What node and listener agree on; the only room that the listener enters."""
