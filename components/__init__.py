"""What one pipeline step does: the only home of TFX artifacts, Beam and TFMA."""
