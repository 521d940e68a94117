"""Ed25519 and SHA-512 in plain Python, for a router that has nothing better."""
