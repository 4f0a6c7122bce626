"""The class of every pixel of a picture, and what can be made of it."""
