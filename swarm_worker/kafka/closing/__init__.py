"""How a client ends: drained, committed, closed, and, for good, out of its group."""
