"""Moving pictures: frames with their times, in and out, and how they move."""
