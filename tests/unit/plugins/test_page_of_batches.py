"""The example of docs/providers.md for a webhook with several events works as it stands."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from payd import plugins

PAGE = Path(__file__).parents[3] / "docs/providers.md"


def test_the_example_of_a_webhook_with_several_events_works() -> None:
    names = {name: getattr(plugins, name) for name in plugins.__all__}
    names |= {"Mapping": Mapping, "Sequence": Sequence, "Any": Any, "datetime": datetime}
    names |= {"json": json, "authentic": lambda request, secrets, now: request.body}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [example] = [block for block in blocks if "def payment_event" in block]
    exec(example, names)
    paid = {"id": "1", "charge": "ch_1", "amount": 100, "status": "paid", "time": "12:00"}
    body = json.dumps({"payments": [paid, {**paid, "id": "2", "payer": "Ada"}]}).encode()

    def verified(body: bytes) -> Any:
        request = plugins.WebhookRequest(body=body, headers={})
        return names["verify"](None, request, {"webhook_secret": ("s",)}, datetime.now(UTC))

    assert [event.id for event in verified(body)] == ["payment:1:paid", "payment:2:paid"]
    assert "payer" not in verified(body)[1].content
    for unreadable in (b"[]", b"{}", b"x"):
        with pytest.raises(plugins.WebhookRefused):
            verified(unreadable)
