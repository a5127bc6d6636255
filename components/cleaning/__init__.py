"""Cleaning: drops documents that must not be trained on, and counts them by reason."""
