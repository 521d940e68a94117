"""State machines of the protocol. Time, randomness, network come in as arguments."""
