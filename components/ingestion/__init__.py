"""Ingestion: raw records become documents in three splits."""
