"""Programs that an operator's command starts, and that need a Kafka client."""
