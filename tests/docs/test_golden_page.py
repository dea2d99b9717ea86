"""The page of golden numbers says what the program computes today."""

import re

from tests.support.golden_page import PAGE, rows_of_page


def test_the_page_is_what_is_computed():
    """Else, after reading why: python -m tests.support.golden_page."""
    text = PAGE.read_text("utf-8")
    printed = {
        name: (oracle, int(n), float(f"1e{power}"))
        for name, oracle, n, power in re.findall(
            r"^\| (.+?) \| (.+?) \| (\d+) \| 1e(-?\d+) \|$", text, re.M
        )
    }
    computed = rows_of_page()
    assert list(printed) == [name for name, *_ in computed]
    for name, oracle, deviation, n in computed:
        assert printed[name][:2] == (oracle, n)
        assert deviation < printed[name][2], name
        assert printed[name][2] < 0.02, name
