"""Ingestion: reads raw files and writes documents in three splits."""
