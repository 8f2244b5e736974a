"""The state machine: events and ``now_s`` in, actions out; no clock, no I/O."""
