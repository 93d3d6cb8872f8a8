"""Feature maps to ranks."""
