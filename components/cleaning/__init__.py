"""Cleaning: drops documents that must not be trained on, counted by reason."""
