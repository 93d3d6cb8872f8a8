"""Feature maps to ranks: pooling, calibration, scoring, search."""
