"""Output to the terminal and to log files: streams, console, progress and errors."""
