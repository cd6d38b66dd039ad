from pathlib import Path

from kappi_chassis.db.revisions import lacks_migrations, newest_revisions


def write(folder: Path, name: str, *, revision: str, down: str) -> None:
    (folder / name).write_text(f'"""x"""\nrevision: str = "{revision}"\ndown_revision: str | None = {down}\n')


def test_the_newest_revision_has_no_successor(tmp_path: Path) -> None:
    write(tmp_path, "0001_a.py", revision="0001", down="None")
    write(tmp_path, "0002_b.py", revision="0002", down='"0001"')
    (tmp_path / "__init__.py").write_text("")
    assert newest_revisions(tmp_path) == {"0002"}


def test_two_heads_and_their_merge_are_recognised(tmp_path: Path) -> None:
    write(tmp_path, "a.py", revision="a", down="None")
    write(tmp_path, "b.py", revision="b", down="'a'")
    write(tmp_path, "c.py", revision="c", down="'a'")
    assert newest_revisions(tmp_path) == {"b", "c"}
    write(tmp_path, "d.py", revision="d", down='("b", "c")')
    assert newest_revisions(tmp_path) == {"d"}


def test_a_database_may_be_behind_or_ahead(tmp_path: Path) -> None:
    write(tmp_path, "0001_a.py", revision="0001", down="None")
    write(tmp_path, "0002_b.py", revision="0002", down='"0001"')
    assert lacks_migrations(tmp_path, set())
    assert lacks_migrations(tmp_path, {"0001"})
    assert not lacks_migrations(tmp_path, {"0002"})
    assert not lacks_migrations(tmp_path, {"0003"}), "a newer release migrated it"
