"""Declare settings: the base class of sections, `setting` itself, and shared value types."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from payd.domain.actors import is_reserved


def setting(default: object, description: str, *, env: str = "", **limits: Any) -> Any:
    """Declare one setting. `env` is its variable if that is not PAYD_SECTION_KEY.

    `production` is the default in production if it differs; `form` describes a pattern in words.
    """
    extra = {"env": env, **{key: limits.pop(key, None) for key in ("production", "form")}}
    return Field(default=default, description=description, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """Base of all sections: strict types, immutable, undeclared keys rejected."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def _not_reserved(name: str) -> str:
    if is_reserved(name):
        raise ValueError("is reserved for payd's audit trail: use another name")
    return name


#: A gRPC client's certificate name; X.509 holds at most 64 characters.
CommonName = Annotated[
    str,
    StringConstraints(pattern=r"^[!-~]([ -~]{0,62}[!-~])?$"),
    AfterValidator(_not_reserved),
]
#: The same for an operator. Its actions are recorded as `operator:NAME/ACTOR`, so that it may bear
#: any name, but no slash.
OperatorName = Annotated[str, StringConstraints(pattern=r"^[!-.0-~]([ -.0-~]{0,62}[!-.0-~])?$")]
#: A host name in the Host header of a browser, in lower case.
HostName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{0,252}$")]
#: A host name, an IPv4 or IPv6 address, or the folder of PostgreSQL's Unix socket.
HOST = (
    r"^([A-Za-z0-9_][A-Za-z0-9._-]*|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.%a-z0-9]*\]?|/\S+)$"
)
