"""Topics that are deleted and created again: noticed, and their logs begun."""
