"""What outlives a listener: its journal, and what the next one restores of it."""
