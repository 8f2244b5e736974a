"""The operator's commands: what they read, what is known from it, how it is shown."""
