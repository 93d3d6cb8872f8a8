"""Patches to feature maps: extractors, their registry and the feature store."""
