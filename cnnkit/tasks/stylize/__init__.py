"""Painting pictures and videos in the style of others."""
