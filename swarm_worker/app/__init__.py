"""What a user writes: the App, its handlers, their batches; which node gets what."""
