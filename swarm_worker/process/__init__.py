"""Any process of ours: exit codes, signals, a deadline, the death of its parent."""
