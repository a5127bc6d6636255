"""Tuning: a search for hyperparameters before training."""
