"""swdist seed, status, watch: being a neighbour of the mesh."""

COMMANDS = ()
