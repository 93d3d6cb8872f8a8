"""Match radar and optical satellite images with pretrained vision models."""

__version__ = "0.1.0"
