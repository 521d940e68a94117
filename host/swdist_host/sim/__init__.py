"""A deterministic simulator: the device modules of many nodes, unchanged, in virtual time.

Read it in this order: `world` (events and time), `radio`, `disk`, `station` (one node), `transfer`
(two fidelities of a download), `scenario`, `invariants`. docs/simulator.md is the manual.
"""
