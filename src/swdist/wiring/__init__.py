"""The configuration, and all of the above put together as one node."""
