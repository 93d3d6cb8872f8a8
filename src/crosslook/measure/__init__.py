"""What is true of the features: gap, retrieval, structure, intervals."""
