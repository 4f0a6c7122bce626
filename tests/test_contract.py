"""Nothing that users call gets lost unnoticed."""

import json

from tests import _contract


def _leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield " / ".join(path), value


def test_commands_options_exit_codes_and_public_names_are_those_of_the_contract():
    # After a change that is meant: python -m tests._contract, and an entry in the change log.
    before = dict(_leaves(json.loads(_contract.FILE.read_text(encoding="utf-8"))))
    now = dict(_leaves(_contract.contract()))
    changes = [
        f"{name}: {before.get(name, 'not there')!r} -> {now.get(name, 'lost')!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name, "not there") != now.get(name, "lost")
    ]
    assert not changes, "\n".join(changes)
