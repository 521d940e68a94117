"""As `line`, over batman-adv."""

from lab.emulated.stage import Setting
from lab.scenes.line import play

__all__ = ["play"]
DOOR = "lab"
# batman-adv with its defaults passes no multicast on for 30 to 40 s after a router has started
# (bridge loop avoidance), so that it takes longer until one is heard that comes back.
SETTING = Setting(start_s=180, batman=True)
