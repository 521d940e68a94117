"""What holds for any input: parsers never raise, and give back what the writers wrote."""
