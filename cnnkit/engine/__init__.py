"""What every task shares: which engine computes, and trained networks ready to run on it."""
