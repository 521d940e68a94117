"""What a scene is played on, in either world: promises, which hold or not, and what is said."""


class Failed(Exception):
    """What a scene can't go on without has not come; the text is what is known of it."""


class Stage:
    def __init__(self, say):
        self.say = say  # a line for whoever watches
        self.results = []  # (what, holds, figure)

    def expect(self, what, holds, figure=""):
        self.results.append((what, bool(holds), figure))
        self.say(f"{'ok  ' if holds else 'FAIL'} {what}{': ' + figure if figure else ''}")

    def holds(self):
        """Did all that was promised hold, and was there something?"""
        return bool(self.results) and all(holds for _, holds, _ in self.results)

    def held(self):
        return sum(holds for _, holds, _ in self.results)
