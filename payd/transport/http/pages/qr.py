"""QR codes: the smallest payload that wallets read, as an image in the page itself."""

import io
import re
from functools import lru_cache

import segno

from payd.domain.next_action import CryptoTransfer

_AMOUNT = re.compile(r"(?<=[?&]uint256=)[0-9]+")


def transfer_payload(action: CryptoTransfer, left: int) -> str:
    """The transfer of what is left as an ERC-681 URI; empty where the provider made none."""
    uri = action.payment_uri
    if left == action.amount_base_units or not uri:
        return uri
    changed, count = _AMOUNT.subn(str(left), uri)
    # Without a code, nobody pays twice; a code with the whole amount would ask for it again.
    return changed if count == 1 else ""


@lru_cache(maxsize=1024)
def qr_svg(payload: str) -> str:
    """An SVG element of this text. Error correction is raised where it costs no more modules.

    Making one takes 10 ms of computing, so the same page is not made twice.
    """
    code = segno.make(payload, error="l", micro=False, boost_error=True)
    image = io.BytesIO()
    code.save(
        image, kind="svg", xmldecl=False, svgns=False, omitsize=True, border=4,
        dark="#000", light="#fff", svgclass=None, lineclass=None,
    )  # fmt: skip
    return image.getvalue().decode()
