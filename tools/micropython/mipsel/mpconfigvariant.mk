# The runtime for small MIPS routers: what swdist uses, and no more (see mpconfigvariant.h).
MICROPY_PY_BTREE = 0
MICROPY_PY_FFI = 0
MICROPY_PY_SSL = 0
MICROPY_PY_TERMIOS = 0
MICROPY_PY_THREAD = 0
MICROPY_USE_READLINE = 0
MICROPY_VFS_FAT = 0
MICROPY_VFS_LFS1 = 0
MICROPY_VFS_LFS2 = 0
# Nothing is frozen: swdist itself comes in its own package, and uses nothing of micropython-lib.
FROZEN_MANIFEST =
