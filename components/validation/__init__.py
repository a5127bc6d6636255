"""Validation: gates that refuse a span whose text is not fit to train on."""
