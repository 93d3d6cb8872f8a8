"""The figures of a study as one prints them: PDF, SVG and PNG, with their captions."""
