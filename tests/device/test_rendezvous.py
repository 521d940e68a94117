"""When the fallback link is up: in virtual time, also where that is told back and forth."""

from swdist.machines.rendezvous import Rendezvous

S = 1000000
HOUR = 3600
EVERY = 6 * HOUR
NOON = 1798804800  # a multiple of six hours


def lived(seconds, mesh_s, alone=lambda now_s: False, change_at=lambda now_s: None, began_s=0):
    """[(what, when by the counter)] of a node that is asked each 5 s; its times in seconds."""
    r = Rendezvous(EVERY * S, began_s * S)
    found = []
    for now in range(began_s, began_s + seconds, 5):
        at = change_at(now)
        us = at and at * S
        what = r.turn(now * S, mesh_s(now) * S, alone(now), us)
        if what:
            found.append((what, now))
    return found


def test_window_is_the_first_five_minutes_of_each_six_hours():
    day = lived(24 * HOUR, lambda now: NOON - HOUR + now)
    windows = [HOUR + n * EVERY for n in range(4)]
    assert day == [x for w in windows for x in (("up", w), ("down", w + 300))]


def test_who_starts_in_a_window_waits_for_ten_minutes():
    assert lived(EVERY - 400, lambda now: NOON + now) == []


def test_step_of_the_clock_does_not_end_a_window_early():
    def healed(now):
        return NOON - 1000 + now + (7777 if now > 1100 else 0)

    assert lived(1500, healed) == [("up", 1000), ("down", 1300)]


def test_one_comes_late_and_both_still_end_together():
    found = lived(1500, lambda now: NOON - 1000 + now + (200 if now >= 1000 else -5000))
    assert found == [("up", 1000), ("down", 1100)]


def test_whatever_time_is_told_there_are_two_pairs_in_twenty_minutes_at_most():
    for told in (
        lambda now: NOON,
        lambda now: NOON if now // 5 % 2 else NOON - 1,
        lambda now: NOON + 299 if now // 5 % 2 else NOON - now * 977,
    ):
        for alone in (False, True):
            found = lived(24 * HOUR, told, lambda now, alone=alone: alone)
            ups = [at for what, at in found if what == "up"]
            assert [what for what, _ in found] == (["up", "down"] * len(ups))[: len(found)]
            assert ups[0] >= 600 and min([b - a for a, b in zip(ups, ups[2:])]) >= 1200
            assert 60 < len(ups) <= 72 + 2, len(ups)  # it was tried


def test_who_hears_nobody_meets_others_within_two_days_however_wrong_its_time():
    for wrong_s in range(-3 * HOUR, 3 * HOUR, 397):
        alone = lived(
            48 * HOUR, lambda now, w=wrong_s: NOON + now + w, lambda now: True, began_s=700
        )
        met = 0
        for (_, up), (_, down) in zip(alone[::2], alone[1::2]):
            into = up % EVERY  # theirs begin at each multiple of it
            met = max(met, min(down, up - into + 300) - up, down - max(up, up - into + EVERY))
        assert met >= 120, wrong_s
        share = sum([down - up for (_, up), (_, down) in zip(alone[::2], alone[1::2])])
        assert share < 48 * HOUR * 22 // 100, share


def test_alone_it_is_there_in_the_windows_of_the_others_too():
    alone = lived(72 * HOUR, lambda now: NOON - HOUR + now, lambda now: True)
    for n in range(12):
        begin = HOUR + n * EVERY
        assert [1 for what, at in alone if what == "down" and begin + 200 < at <= begin + 600], n


def test_no_window_begins_whose_hooks_could_hold_up_a_switch():
    def change_at(now):
        return switch if now < switch else None

    for switch, found in (
        (1100, [("up", 1100), ("down", 1300)]),
        (1300, []),
        (1455, []),
        (1460, [("up", 1000), ("down", 1300)]),
    ):
        assert lived(1500, lambda now: NOON - 1000 + now, change_at=change_at) == found, switch


def test_switches_that_are_ever_near_do_not_keep_it_up():
    def change_at(now):
        return now + 100 if now > 1000 else None

    found = lived(3000, lambda now: NOON - 1000 + now, change_at=change_at)
    assert found == [("up", 1000), ("down", 1300)]
