"""What is held on flash, what deserves room there, and what becomes of it."""
