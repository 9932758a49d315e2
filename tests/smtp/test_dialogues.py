"""Every section of every file in dialogues/ is a test."""

import pathlib

import pytest
from dialogue import rules

FILES = sorted(pathlib.Path(__file__).with_name("dialogues").glob("*.txt"))
RULES = [rule for path in FILES for rule in rules(path)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.path.stem}: {rule.title}")
def test_rule(rule, servers):
    rule.play(servers(rule.config))
