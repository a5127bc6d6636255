"""What reaches a terminal or a log file."""
