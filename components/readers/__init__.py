"""Readers: find input files and read them as records, in every format and encoding."""
