"""Where others look: the status file, metrics and page, systemd."""
