"""What a scenario may say, and what the error says when it says something else."""

from __future__ import annotations

import pytest
from fleets import SECOND, SMALL

from sanderling.errors import InputError
from sanderling_devices.simulator import find_scenario, packaged_scenarios, parse_scenario
from sanderling_devices.simulator.catalogue import load_profile
from sanderling_devices.simulator.reading import duration_text, seconds
from sanderling_devices.simulator.scenario import Deed


def test_a_scenario_is_read():
    scenario = parse_scenario(SMALL + SECOND)
    assert scenario.duration == 8 * 3600.0
    assert [event.do for event in scenario.event] == [Deed.PUBLISH, Deed.ROLLOUT] * 2
    assert scenario.event[1].stages[0].soak == 600.0
    assert scenario.fleet.labels[1].first == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("count = 6", "coumt = 6", r"fleet has the unknown key 'coumt'\. Did you mean 'count'\?"),
        ("count = 6", "count = 0", "must be above 0"),
        ("count = 6", 'count = "six"', "fleet.count is 'six', expected a whole number"),
        ("count = 6", "count = true", "fleet.count is True, expected a whole number"),
        ('duration = "8h"', "", r"lacks duration\. Add it"),
        ('duration = "8h"', 'duration = "soon"', "'soon', no duration"),
        ('duration = "8h"', 'duration = "1m"', "comes after the end, 60 s"),
        ('tick = "5m"', 'tick = "5 minutes"', "no duration"),
        ('do = "publish"', 'do = "publich"', r"event\[1\].do is 'publich'\. Did you mean 'publish'\?"),
        ('version = "m-1.0"', 'version = "m-1.1"', r"no version 'm-1.1'\. Did you mean 'm-1.0'\?"),
        ("counter = 1", "counter = 1\nbehaves = { confidense = 0.5 }", "Did you mean 'confidence'"),
        ("counter = 1", "counter = 1\nbehaves = { confidence = 1.5 }", "shares lie in 0 to 1"),
        ("counter = 1", "counter = 1\non = { pi = { latency = 1.0 } }", "Did you mean 'latency_us'"),
        ('do = "publish"', 'kind = "stucc"\ndo = "publish"', r"event\[1\].kind is 'stucc'\. Did you mean 'stuck'\?"),
        ('name = "first"', "", "has no name or no stages"),
        (', value = "a"', "", "shares and a value, or neither"),
        ('title = "small"', 'title = "small"\nnetwork = 3', "network is 3, expected a table"),
        ('title = "small"', "title = small", "is no TOML"),
        ("[agent]", "[network]\noffline = [{ daily = [3.0] }]\n[agent]", "two hours from 0 to 24"),
    ],
)
def test_what_cannot_be_is_told(old, new, said):
    text = (SMALL + SECOND).replace(old, new, 1)
    assert text != SMALL + SECOND
    with pytest.raises(InputError, match=said):
        parse_scenario(text)


def test_assertions_name_what_there_is():
    with pytest.raises(InputError, match=r"no rollout 'frist'\. Did you mean 'first'"):
        parse_scenario(SMALL + '[[expect]]\ncheck = "rollout"\nstate = "paused"\nrollout = "frist"')
    with pytest.raises(InputError, match="expect running: no version"):
        parse_scenario(SMALL + '[[expect]]\ncheck = "running"\nat_least = 1\nversion = "n-1.0"')


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('check = "exposed"\nversion = "m-1.0"', "lacks at_least or at_most"),
        ('check = "running"\nat_least = 1', "lacks version"),
        ('check = "rollout"\nrollout = "first"', "lacks state"),
        ('check = "alert"\nat_most = 0', "lacks kind"),
        ('check = "scope"\nversion = "m-1.0"', "lacks scope"),
        ('check = "scope"\nversion = "m-1.0"\nscope = "wrold"', "Did you mean 'world'"),
    ],
)
def test_an_assertion_that_cannot_fail_is_refused(keys, said):
    with pytest.raises(InputError, match=said):
        parse_scenario(f"{SMALL}[[expect]]\n{keys}")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('do = "fault"\nkind = "stuk"', "Did you mean 'stuck'"),
        ('do = "drift"\nalarm_after = 0', "alarm_after 0"),
        ('do = "kill"\ncount = -1', "count -1"),
    ],
)
def test_what_cannot_happen_is_refused(keys, said):
    with pytest.raises(InputError, match=said):
        parse_scenario(f'{SMALL}[[event]]\nat = "1h"\n{keys}')


def test_durations_are_read_and_written():
    assert seconds("1d 6h 30m 2.5s") == 86400 + 6 * 3600 + 1800 + 2.5
    assert duration_text(86400 + 6 * 3600 + 30 * 60) == "1d 6h 30m"
    assert duration_text(0.0) == "0s"
    for text in ("", "5", "h", "5 m 3", "-1h"):
        with pytest.raises(InputError, match="no duration"):
            seconds(text)


def test_packaged_scenarios_are_whole():
    for name, text in packaged_scenarios().items():
        scenario = parse_scenario(text, name)
        assert scenario.story.strip()
        assert scenario.expect
        for profile in scenario.fleet.profiles:
            assert load_profile(profile).facts(profile).machine in ("x86_64", "aarch64")


def test_unknown_names_get_a_suggestion(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'bad-version'"):
        find_scenario("bad-versoin")
    with pytest.raises(InputError, match="Did you mean 'raspberry-pi-5'"):
        load_profile("raspberry-pi-4")
    (tmp_path / "mine.toml").write_text(SMALL)
    assert find_scenario(str(tmp_path / "mine.toml")).title == "small"
