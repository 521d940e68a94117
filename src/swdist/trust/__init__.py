"""Is it the CA's, and which release runs here? Pure functions of verified bytes and time."""
