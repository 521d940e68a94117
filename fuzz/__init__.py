"""Coverage-guided fuzzing of whatever reads bytes that somebody else wrote.

targets  one harness a parser: raises when the parser breaks its word, whatever the bytes
seeds    good and bad inputs from tests/vectors, for a corpus to begin with
memory   the file system that the harnesses use
corpus/  what reaches all the branches found so far, and whatever once crashed; tests replay it

`python -m fuzz NAME --seconds 60` fuzzes one parser, `make fuzz SECONDS=60` all of them.
"""
