"""How a client is doing: what it tells, turned into progress, troubles and notes."""
