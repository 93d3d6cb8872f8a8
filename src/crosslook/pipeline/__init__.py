"""Composition: data, extractors, comparison, measures and report into a study."""
