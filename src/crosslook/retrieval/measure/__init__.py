"""What is true of features."""
