import pytest

from backhand.data import digits, pictures, tfds


def test_the_digits_and_what_tfds_knows(tmp_path):
    assert pictures("digits", seed=1).sha256 == digits(1).sha256
    errors = []
    for load in (pictures, tfds):
        with pytest.raises(
            ValueError, match=r"name should be mnist, .* got 'no_such_set'"
        ) as error:
            load("no_such_set", tmp_path)
        errors.append(str(error.value))
    assert errors[0] == errors[1]
