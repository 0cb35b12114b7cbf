"""`payd console-user`: print the line of an operator for the console's list of users."""

import sys

import click


@click.command("console-user")
@click.argument("name")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input instead of asking for it.",
)
def console_user(name: str, password_stdin: bool) -> None:
    """Print the line of an operator of the console: the name and the hash of a password.

    Add the line to the file that PAYD_CONSOLE_USERS_FILE names.
    """
    from payd.transport.console.passwords import PASSWORD_LENGTH_MIN, new_entry

    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < PASSWORD_LENGTH_MIN:
        raise click.UsageError(f"the password needs at least {PASSWORD_LENGTH_MIN} characters")
    try:
        click.echo(new_entry(name, password))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
