"""The world: network, files, time, processes. What only a real system has."""
