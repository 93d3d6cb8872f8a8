"""How paired sets lie on disk: files of both sides by key, and what pairs them."""
