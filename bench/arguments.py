"""Arguments that benches share, refused where they make no sense."""

import argparse


def share(text):
    """An argument from 0 up to 1: 20 would be taken for 2,000 %."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no share from 0 to 1: 20 % is 0.2")
    return value


def count(text):
    """An argument of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
