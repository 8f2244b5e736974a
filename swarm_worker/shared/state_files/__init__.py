"""What programs leave in a state directory for one another, and its locks."""
