"""What people read of restarts, rolls and partitions, in a terminal and on a page."""
