"""As `line`, on routers with hardly the memory to boot."""

from lab.emulated.stage import Setting
from lab.scenes.line import play

__all__ = ["play"]
DOOR = "lab"
# The least with which Debian's kernel still boots from this initramfs, give or take 1.
SETTING = Setting(memory_mib=30)
