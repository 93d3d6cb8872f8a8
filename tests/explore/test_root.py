"""Files below the root: listed, opened, registered, built and studied; nothing above it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crosslook.data.simulate.write import write_pairs
from crosslook.errors import NotFoundError, SettingError
from crosslook.explore.browse import Root
from tests.explore.conftest import Served

_STAGES = ("read", "tie points", "refinement", "model", "writing")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pairs, one without a partner, beside a secret that lies above."""
    base = tmp_path_factory.mktemp("root")
    (base / "secret.tif").write_bytes(b"secret")
    folder = base / "open"
    write_pairs(folder / "pairs", 3, size=256, relief=0.0, gsd=10.0)
    shutil.copy(folder / "pairs/sar/sim-0000.tif", folder / "pairs/sar/lonely.tif")
    (folder / "out").symlink_to(base)
    (folder / ".hidden").mkdir()
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize(
    "path", ["..", "../secret.tif", "out", "out/secret.tif", "/etc", ".hidden", "none", "a\0b"]
)
def test_nothing_beyond_the_root_is_named(root: Path, path: str) -> None:
    with pytest.raises(NotFoundError):
        Root(root.resolve()).place(path)
    with pytest.raises(SettingError, match="--root FOLDER"):
        Root(None).place(path)


def test_a_folder_is_listed(root: Path) -> None:
    listed = Root(root.resolve()).listing("")
    assert [one["name"] for one in listed["entries"]] == ["pairs"]
    pairs = Root(root.resolve()).listing("pairs")
    assert (pairs["kind"], pairs["scenes"]) == ("pairs", 3)
    images = Root(root.resolve()).listing("pairs/sar")
    assert {one["kind"] for one in images["entries"]} == {"image"}


def test_what_was_uploaded_is_not_below_the_root(tmp_path: Path) -> None:
    """What was uploaded is opened by its recognised kind alone, and never by its name."""
    upload = tmp_path / "crosslook-explorer/uploads/0123456789abcdef/image.png"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "link.png").symlink_to(upload)
    (tmp_path / "mine.png").write_bytes(b"mine")
    base = tmp_path.resolve()
    root = Root(base, base / "crosslook-explorer")
    assert [one["name"] for one in root.listing("")["entries"]] == ["mine.png"]
    for path in ("crosslook-explorer", str(upload.relative_to(tmp_path)), "link.png"):
        with pytest.raises(NotFoundError):
            root.place(path)
    with pytest.raises(SettingError, match="--out elsewhere"):
        root.whole("")  # an atlas of it would take the uploads in
    assert root.whole("mine.png") == base / "mine.png"


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Served]:
    """A server whose own folder lies below the root, as where it is started there."""
    one = Served(tmp_path / "crosslook-explorer", "--root", str(tmp_path))
    yield one
    one.stop()


def test_the_api_takes_no_upload_for_a_file_of_the_root(inside: Served) -> None:
    upload = inside.upload(b"\x89PNG\r\n\x1a\n", "x.png")
    path = f"crosslook-explorer/uploads/{upload}/image.png"
    assert inside.ask("/open/pair", {"sar": path, "optical": path})[0] == 404
    assert inside.ask("/open/atlas", {"paths": [f"pairs/../{path}"]})[0] == 404
    for address, body in (
        ("/open", {"path": ""}),
        ("/open/atlas", {"paths": [""]}),
        ("/open/batch", {"path": ""}),
        ("/open/study", {"path": ""}),
    ):
        status, answer = inside.ask(address, body)
        assert (status, "--out elsewhere" in str(answer)) == (400, True), address
    assert inside.ask("/browse")[0] == 200


@pytest.fixture(scope="module")
def served(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    one = Served(tmp_path_factory.mktemp("out"), "--root", str(root))
    yield one
    one.stop()


def test_requests_stay_below_the_root(served: Served) -> None:
    assert served.ask("/browse?path=..")[0] == 404
    assert served.ask("/browse?path=pairs%2Fsar%2Fsim-0000.tif")[0] == 404  # no folder
    for address, body in (
        ("/open", {"path": "../secret.tif"}),
        ("/open/pair", {"sar": "out/secret.tif", "optical": "pairs/optical/sim-0000.tif"}),
        ("/open/atlas", {"paths": ["/etc"]}),
        ("/open/study", {"path": ".."}),
        ("/open/batch", {"path": "out"}),
    ):
        assert served.ask(address, body)[0] == 404, address
    models = {"path": "pairs", "extractors": ["hf:/etc"]}
    assert served.ask("/open/study", models)[0] == 400
    assert (
        served.ask("/open/batch", {"path": "pairs", "settings": {"mask": "/etc/passwd"}})[0] == 400
    )


def test_pairs_are_registered_and_their_matches_shown(served: Served) -> None:
    done = served.wait(served.start("/open/batch", {"path": "pairs"}))
    assert done["state"] == "done", done["error"]
    assert done["result"]["counted"] == "3 match, 1 failed"
    lost = next(row for row in done["result"]["rows"] if row["error"])
    assert lost["name"] == "lonely"
    made = [one for one in served.ask("/library")[1]["matches"] if one["job"] == done["id"]]
    assert len(made) == 3
    assert {one["verdict"] for one in made} == {"match"}
    assert {one["pair"] for one in made} == {"sim-0000", "sim-0001", "sim-0002"}
    here = served.ask("/browse?path=pairs")[1]
    assert (here["scenes"], here["incomplete"]) == (3, 1)
    assert served.ask(f"/matches/{made[0]['id']}")[1]["missing"] == []


def test_an_atlas_is_built_and_a_pair_registered(served: Served) -> None:
    built = served.wait(served.start("/open/atlas", {"paths": ["pairs/optical"]}))
    assert built["state"] == "done", built["error"]
    assert built["id"] in [one["job"] for one in served.ask("/library")[1]["atlases"]]
    pair = {"sar": "pairs/sar/sim-0001.tif", "optical": "pairs/optical/sim-0001.tif"}
    done = served.wait(served.start("/open/pair", pair))
    assert done["result"]["match"]["verdict"] == "match"
    stages = list(done["seconds"])
    assert [name for name in stages if name in _STAGES] == list(_STAGES)
    place = served.ask(f"/jobs/{done['id']}/view/place.json")[1]
    moved = done["result"]["match"]["movement"]
    for axis, name in ((0, "row_px"), (1, "col_px")):  # the outline lies where it was moved to
        assert abs(place["sar"][axis] - place["before"][axis] - moved[name]) < 2.5
    assert served.ask(f"/jobs/{done['id']}/view/before.png")[1][:4] == b"\x89PNG"
    assert served.ask("/open", {"path": "pairs"})[1] == [{"kind": "pairs", "id": "pairs"}]


def test_pairs_are_studied(served: Served) -> None:
    body = {"path": "pairs", "extractors": ["hog:cell=8"], "patch": 64, "structure": False}
    done = served.wait(served.start("/open/study", body))
    assert done["state"] == "done", done["error"]
    (run,) = served.ask("/library")[1]["runs"]
    assert run["job"] == done["id"]
    assert served.ask(f"/runs/{run['id']}")[0] == 200


def test_what_was_removed_is_shown_no_longer(
    root: Path, serve: Callable[..., Served], tmp_path: Path
) -> None:
    first = serve(tmp_path, "--root", str(root))
    job = first.start("/open/atlas", {"paths": ["pairs/optical"]})
    done = first.wait(job)
    assert "building the atlas" in done["seconds"]
    atlases = [[one["job"] for one in first.ask("/library")[1]["atlases"]]]
    first.ask(f"/jobs/{job}", method="DELETE")
    atlases.append([one["job"] for one in first.ask("/library")[1]["atlases"]])
    first.stop()
    second = serve(tmp_path, "--root", str(root))  # it is in the bin after a restart too
    atlases.append([one["job"] for one in second.ask("/library")[1]["atlases"]])
    second.ask(f"/jobs/{job}/restore", method="POST")
    atlases.append([one["job"] for one in second.ask("/library")[1]["atlases"]])
    second.ask(f"/jobs/{job}", method="DELETE")
    second.ask("/bin", method="DELETE")
    atlases.append([one["job"] for one in second.ask("/library")[1]["atlases"]])
    assert atlases == [[job], [], [], [job], []]
