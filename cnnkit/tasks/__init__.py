"""The tasks, each in a folder with all that it has of its own; what they share is in `engine`."""
