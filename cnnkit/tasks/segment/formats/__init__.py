"""How pictures with a class for every pixel are stored."""
