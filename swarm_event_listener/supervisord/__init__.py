"""Supervisord."""
