"""What people and programs ask a node: package swdist-utils, which no router needs."""
