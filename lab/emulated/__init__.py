"""The world behind `make lab`: routers like the WRT54GS, emulated (docs/packaging.md)."""
