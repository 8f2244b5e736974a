"""What the commands read: supervisord, the files of the listener, logs of nodes."""
