"""The study: which SAR patch finds its optical partner, and why."""
