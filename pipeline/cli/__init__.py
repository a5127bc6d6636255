"""The command line: a file for each group of commands, and files for what they print."""
