"""Reporting: HTML pages about a run and about several runs."""
