# Modules frozen into the runtime the tests use. Debian's source comes without micropython-lib,
# so the stock manifest fails; asyncio is all that the standard variant has of its own.
include("$(MPY_DIR)/extmod/asyncio")  # noqa: F821 (makemanifest.py defines it)
