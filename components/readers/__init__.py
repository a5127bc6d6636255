"""Readers of text files: from an input pattern to records, in every format and encoding."""
