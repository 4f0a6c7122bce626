"""Style pictures painted by seeded code, so that every style can be tried without a download."""
