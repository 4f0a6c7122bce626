"""See what networks learned: layers, filters, activations, units, evidence for classes."""
