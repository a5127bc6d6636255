"""Lineage: which artifacts of earlier runs a run builds on, and how they are recognized."""
