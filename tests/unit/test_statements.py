"""The named statements of an SQL file: their parameters, and the parts that they share."""

import pytest

from payd.adapters.postgres.statements import parse


def test_parameters_are_numbered_in_the_order_of_their_first_use() -> None:
    [statement] = parse(
        "-- find --\nSELECT :a::text, now()::date WHERE x = :b OR :a IS NULL;\n"
    ).values()

    assert statement.sql == "SELECT $1::text, now()::date WHERE x = $2 OR $1 IS NULL"
    assert statement.parameters == ("a", "b")
    assert statement.arguments({"b": 2, "a": 1}) == [1, 2]


@pytest.mark.parametrize("values", [{"a": 1}, {"a": 1, "b": 2, "c": 3}])
def test_a_missing_or_an_unknown_argument_is_refused(values: dict[str, object]) -> None:
    statement = parse("-- find --\nSELECT :a, :b;\n")["find"]

    with pytest.raises(KeyError, match="find takes"):
        statement.arguments(values)


def test_statements_with_the_same_part_have_its_text_and_its_parameters() -> None:
    text = (
        "-- one --\nWITH w AS (SELECT :a)\n-- here: rows --\n"
        "-- all --\nWITH w AS (SELECT :b)\n-- here: rows --\n"
        "-- part rows --\nSELECT * FROM w LIMIT :limit;\n"
    )

    statements = parse(text)

    assert statements.keys() == {"one", "all"}
    assert {one.parameters for one in statements.values()} == {("a", "limit"), ("b", "limit")}
    assert all(one.sql.endswith("SELECT * FROM w LIMIT $2") for one in statements.values())


def test_a_part_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError, match="part rows"):
        parse("-- one --\nSELECT 1\n-- here: rows --\n")


def test_a_part_may_stand_in_the_middle() -> None:
    text = (
        "-- one --\nSELECT * FROM (\n-- here: rows --\n) AS r LIMIT :limit;\n"
        "-- part rows --\nSELECT :a;\n"
    )

    [statement] = parse(text).values()

    assert " ".join(statement.sql.split()) == "SELECT * FROM ( SELECT $1 ) AS r LIMIT $2"
