"""Prometheus' metrics and the page, served by a thread of their own."""
