"""One process: boot, work, quiet, stop; its slot, its crash traces, ``--check``."""
