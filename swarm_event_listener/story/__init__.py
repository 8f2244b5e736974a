"""What people read of restarts and rolls, in a terminal and on the page."""
