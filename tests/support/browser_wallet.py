"""A wallet in a page (EIP-1193, `window.ethereum`), played by the test."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
from playwright.sync_api import Page

ACCOUNT = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
_INJECTED = """
window.ethereum = {
  async request(asked) {
    const answer = await askWallet(JSON.stringify(asked));
    if (answer.code) throw Object.assign(new Error("refused"), { code: answer.code });
    return answer.result;
  },
};
"""


class WalletError(Exception):
    """The wallet answers with an error of EIP-1193."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


def refuse(code: int) -> Callable[[Any], Any]:
    """An answer of the wallet: always this error."""

    def answer(parameters: Any) -> Any:
        raise WalletError(code)

    return answer


@attrs.define(kw_only=True)
class Wallet:
    """Answers by method; what it was asked is kept. It knows no other method."""

    answers: Mapping[str, Callable[[Any], Any]]
    asked: list[tuple[str, Any]] = attrs.field(factory=list)

    def inject(self, page: Page) -> None:
        """Put it into every document that the page opens from now on."""
        # A bound method would have to take attributes of the library.
        page.expose_function("askWallet", partial(Wallet._answer, self))
        page.add_init_script(_INJECTED)

    def parameters_of(self, method: str) -> list[Any]:
        """What it was asked by this method."""
        return [parameters for name, parameters in self.asked if name == method]

    def _answer(self, text: str) -> Mapping[str, Any]:
        request = json.loads(text)
        method, parameters = request["method"], request.get("params")
        self.asked.append((method, parameters))
        answer = self.answers.get(method, refuse(4200))
        try:
            return {"result": answer(parameters)}
        except WalletError as error:
            return {"code": error.code}


def a_wallet(
    chain_id: int, answers: Mapping[str, Callable[[Any], Any]], account: str = ACCOUNT
) -> Wallet:
    """A wallet with one account, on this chain until it is asked to change."""
    chain_ids = [hex(chain_id)]

    def switch(parameters: Any) -> None:
        chain_ids.append(parameters[0]["chainId"])

    known = {
        "eth_requestAccounts": lambda parameters: [account],
        "eth_chainId": lambda parameters: chain_ids[-1],
        "wallet_switchEthereumChain": switch,
    }
    return Wallet(answers={**known, **answers})
