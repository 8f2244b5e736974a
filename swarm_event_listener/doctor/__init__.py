"""What is wrong in a configuration, and the line to change."""
