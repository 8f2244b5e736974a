"""The operator's commands: what they ask, what they tell, how it is shown."""
