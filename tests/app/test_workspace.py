"""Nothing outside the folder of the page can be named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.errors import UsageError
from archspec_app.workspace import Workspace, files_below, inside, refuse_links_out

PARTS = st.sampled_from(
    ["..", ".", "", "a", "link", "file.yaml", "/", "~", "\\", "\0", "C:", "..."]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("top")
    inside = top / "inside"
    (inside / "a").mkdir(parents=True)
    (top / "secret.yaml").write_text("secret")
    (inside / "file.yaml").write_text("one")
    (inside / "a" / "file.yaml").write_text("two")
    (inside / "link").symlink_to(top)
    (inside / "link.yaml").symlink_to(top / "secret.yaml")
    (inside / ".hidden.yaml").write_text("hidden")
    return inside


@given(parts=st.lists(PARTS, max_size=5))
def test_no_name_leads_out(folder: Path, parts: list[str]) -> None:
    name = "/".join(parts)
    for tried in (name, f"{name}/secret.yaml", f"{name}.yaml", f"../{name}"):
        try:
            path = inside(folder, tried)
        except UsageError:
            continue
        assert path.resolve().is_relative_to(folder)


def test_reading_and_listing(folder: Path) -> None:
    workspace = Workspace(folder)
    assert [name for name in workspace.names() if "." in name] == ["a/file.yaml", "file.yaml"]
    assert "bert" in workspace.names() and workspace.read("bert").startswith("archspec: 1")
    assert workspace.read("a/file.yaml") == "two"
    for name in ("link.yaml", "../secret.yaml", "link/secret.yaml", "/etc/passwd", ".hidden.yaml"):
        with pytest.raises(UsageError, match="is not a name inside the folder"):
            workspace.read(name)
    with pytest.raises(UsageError, match="no such file, or not UTF-8 text"):
        workspace.read("nothing.yaml")


def test_saving(folder: Path) -> None:
    workspace = Workspace(folder)
    assert workspace.save("b/new", "é\r\n", opened=None) == "b/new.yaml"
    assert (folder / "b" / "new.yaml").read_bytes() == "é\r\n".encode()
    with pytest.raises(UsageError, match="this file exists"):
        workspace.save("b/new.yaml", "x", opened=None)
    workspace.save("b/new.yaml", "x", opened="é\r\n")
    for name in (
        "../out.yaml",
        "link/out.yaml",
        "link.yaml",
        "a.txt/../../x.yaml",
        "/out.yaml",
        "",
    ):
        with pytest.raises(UsageError):
            workspace.save(name, "x", opened=None)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["inside", "secret.yaml"]
    with pytest.raises(UsageError, match="not UTF-8"):
        workspace.save("c.yaml", "\ud800", opened=None)


def test_an_entry_that_leads_out_is_refused_like_the_link_itself(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    (outside / "cats").mkdir(parents=True)
    (outside / "cats" / "1.png").write_bytes(b"")
    links = {
        "class": ("data/cats", outside / "cats"),
        "image": ("data/cats/1.png", outside / "cats" / "1.png"),
        "middle": ("data/more/deep/cats", Path("../../../../outside/cats")),
        "parent": ("data/up", Path("../..")),
        "chain": ("data/a.csv", Path("../hop")),
        "nowhere": ("data/broken", tmp_path / "nothing"),
    }
    wrong: list[str] = []
    for kind, (name, target) in links.items():
        top = folder / kind
        (top / name).parent.mkdir(parents=True)
        (top / "data" / "own.csv").write_text("text,label\n")
        (top / "data" / "same.csv").symlink_to("own.csv")
        (top / "hop").symlink_to(outside / "cats" / "1.png")
        refuse_links_out(top, inside(top, "data"))  # until there is the link
        (top / name).symlink_to(target)
        for asked in ("data", name):
            try:
                refuse_links_out(top, inside(top, asked))
            except UsageError as error:
                if error.problems[0].code == "E801" and str(tmp_path) not in str(error):
                    continue
            wrong.append(f"{kind}: {asked}")
        assert name not in [path.relative_to(top).as_posix() for path in files_below(top)]
    assert not wrong
