"""How views of networks are drawn."""
