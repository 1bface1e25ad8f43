"""What the engine says of its own errors names who must act."""

from pathlib import Path

import pytest

from intermodal_engine.lifecycle.failure import describe_error


def test_a_name_that_no_file_can_have_is_the_callers_business(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        (tmp_path / ("n" * 256)).mkdir()
    reason = describe_error(caught.value)
    assert reason.startswith("ClientError: a name is too long for a file: `nnn")
    assert str(tmp_path) not in reason
