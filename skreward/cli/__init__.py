"""The command line: arguments, what the commands do, files of rows."""
