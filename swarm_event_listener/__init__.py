"""The event listener: judges the reports of a swarm and restarts what is unwell."""
