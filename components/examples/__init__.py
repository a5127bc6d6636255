"""Examples: documents become training examples."""
