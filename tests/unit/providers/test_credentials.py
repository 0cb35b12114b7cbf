"""A provider's credentials are what the file or the vault holds now, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from payd.providers.credentials import Credentials

_VALUES = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3).map(tuple)


@given(history=st.lists(_VALUES, min_size=1, max_size=5))
def test_only_the_last_values_are_good(history: list[tuple[str, ...]]) -> None:
    credentials = Credentials({"hook": ("first",), "key": ("stays",)})
    for values in history:
        credentials.replace({"hook": values})
    assert dict(credentials) == {"hook": history[-1], "key": ("stays",)}
    assert (len(credentials), set(credentials)) == (2, {"hook", "key"})


def test_an_object_built_with_them_sees_the_change() -> None:
    credentials = Credentials({"hook": ("old",)})
    held = credentials
    credentials.replace({"hook": ("new", "old")})
    assert held["hook"] == ("new", "old")
    credentials.replace({"hook": ("new",)})
    assert held["hook"] == ("new",)


def test_it_shows_names_only() -> None:
    assert repr(Credentials({"hook": ("secret",)})) == "Credentials(hook)"
