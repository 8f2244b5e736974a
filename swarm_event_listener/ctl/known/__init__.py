"""What is known of a swarm, made of what was read: plain data, no I/O."""
