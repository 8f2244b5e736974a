"""One consumer group: client, assignment, offsets, statistics, errors, leaving."""
