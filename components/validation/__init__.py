"""Validation: whether a span's text is fit to train on."""
