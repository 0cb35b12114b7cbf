"""The documentation's pictures, from what the browser tests saw: `make pictures`."""

from pathlib import Path

from PIL import Image

from support.screens import SCREENSHOTS

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
#: Bytes: a repository keeps every version of a picture.
SIZE_MAX = 60_000
#: Picture → the screenshot that it is made of.
PICTURES = {
    "shop": "choose-desktop",
    "waiting": "pay-waiting-phone-light",
    "waiting-dark": "pay-waiting-phone-dark",
    "partly-paid": "pay-partly-phone-light",
    "paid": "pay-paid-phone-light",
    "expired": "pay-expired-phone-light",
    "console": "console-front-desktop-light",
    "console-attention": "console-attention-phone-dark",
}


def file_of(picture: str) -> Path:
    """The file of a picture."""
    return FOLDER / f"{picture}.webp"


def main() -> None:
    """Renew all of them."""
    FOLDER.mkdir(exist_ok=True)
    for picture, screenshot in PICTURES.items():
        with Image.open(SCREENSHOTS / f"{screenshot}.png") as image:
            image.convert("RGB").save(file_of(picture), lossless=True, method=6)


if __name__ == "__main__":
    main()
