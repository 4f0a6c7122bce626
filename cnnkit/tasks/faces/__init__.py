"""Faces: whose they are, of people that the user knows or of nobody known."""
