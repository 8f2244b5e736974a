"""What operators order for whole groups: rolling restarts, and how many nodes run."""
