"""Examples: makes training examples from documents, and refuses unfit ones."""
