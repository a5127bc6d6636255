"""Serving: export, the check before a push, and the push itself."""
