"""swdist: a mesh of equal routers keeps itself on one software version."""

VERSION = "1.0.0"
