"""A node of the swdist protocol in plain CPython, for clarity, not for speed.

It shares no line with `src/swdist`, and was written from docs/protocol.md and tests/vectors alone,
so that each of the two shows where the other, or the document, is wrong. What the document did not
say plainly enough is in docs/decisions/0017-second-reader.md. Section numbers in this package are
those of docs/protocol.md. Read it in this order: wire, manifest, trust, payload, archive, store,
choose, tftp, clock, announce, fetch, node, __main__.
"""
