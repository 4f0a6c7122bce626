"""What every task shares: settings and commands, batches, trained networks, and trainings."""
