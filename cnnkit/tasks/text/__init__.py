"""What texts are about: the classes of texts, by the words in their order."""
