"""``swarm-demo``: a swarm, four faults, and what becomes of them."""
