"""Training: examples become a model, on the devices of one machine or of several."""
