"""Training: the loop, its step, checkpoints, optimizers and devices."""
