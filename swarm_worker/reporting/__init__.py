"""What a node tells of itself: progress, when a report is due, the channel."""
