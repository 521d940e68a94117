"""What goes over the air or lies on flash, as bytes: strict readers and writers, no state."""
