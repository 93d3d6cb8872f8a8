"""Where one image lies in another: correlation, tie points, verdict."""
