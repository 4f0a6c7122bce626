"""Classification of pictures: what they show, of the classes that a network knows."""
