"""The host side of swdist: makes, signs, seeds and watches releases."""
