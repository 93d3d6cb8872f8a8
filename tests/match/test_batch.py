"""A set of pairs gives the same by processes as one after the other, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.pairs import ScenePair, open_pairs
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import FeatureError, SettingError, WeightsError
from crosslook.match import engine, workers
from crosslook.match.batch import register_all
from crosslook.match.engine import Engine
from crosslook.match.result import Failure, MatchResult
from crosslook.match.settings import BatchSettings
from tests.helpers.deadly import Deadly

NEAR = BatchSettings(near_only=True, model="similarity", device="cpu", workers=2)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[ScenePair]:
    """Four pairs, of which the second cannot be read."""
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root, 4, size=192, gsd=10.0, shift=(2.0, 1.0), relief=0.0)
    (root / "sar/sim-0001.tif").write_bytes(b"no raster")
    return list(open_pairs(root))


def summary(results: list[MatchResult | Failure]) -> list[object]:
    return [
        str(one.error) if isinstance(one, Failure) else (one.verdict, matrix(one).tolist())
        for one in results
    ]


def matrix(one: MatchResult) -> np.ndarray:
    assert one.transform is not None
    return np.asarray(one.transform.matrix)


def test_processes_give_what_one_gives_in_the_same_order(pairs: list[ScenePair]) -> None:
    alone = list(register_all(pairs, NEAR.model_copy(update={"workers": None})))
    assert [isinstance(one, Failure) for one in alone] == [False, True, False, False]
    assert summary(list(register_all(pairs, NEAR))) == summary(alone)


def test_a_pair_whose_process_dies_costs_itself_alone(
    pairs: list[ScenePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_TRIES", 1)  # a process takes a second to begin
    deadly = ScenePair("deadly", "deadly", Deadly(), "also-none.tif")  # type: ignore[arg-type]
    found = list(register_all([pairs[0], deadly, pairs[2]], NEAR))
    assert [isinstance(one, Failure) for one in found] == [False, True, False]
    assert isinstance(found[1], Failure)
    assert found[1].name == "deadly"
    assert "--workers" in str(found[1].error)


def test_fewer_pairs_than_processes_share_their_tiles(
    pairs: list[ScenePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_by_processes", None)  # would fail
    assert len(list(register_all(pairs[:1], NEAR))) == 1


def test_results_wait_for_those_before_them() -> None:
    found: list[tuple[int, workers.Results]] = [
        (2, [failure("c")]),
        (0, [failure("a"), failure("b")]),
        (1, []),
    ]
    names = [one.name for one in workers._in_order(iter(found)) if isinstance(one, Failure)]
    assert names == ["a", "b", "c"]


def failure(name: str) -> Failure:
    return Failure(name, FeatureError(name, index=0))


def test_workers_share_the_threads_of_the_machine() -> None:
    settings = workers.alone_settings(NEAR, Engine("local", 64))
    assert settings.threads == 1
    assert settings.workers is None
    given = NEAR.model_copy(update={"threads": 6})  # of the whole command
    assert workers.alone_settings(given, Engine("local", 2)).threads == 3
    assert workers.alone_settings(given, Engine("ray", 2)).threads == 6  # of each machine


def test_what_no_worker_can_open_is_one_error(pairs: list[ScenePair]) -> None:
    nowhere = {"extractor": "dinov2", "weights": {"dinov2": Path("nowhere")}}
    with pytest.raises(WeightsError):
        list(register_all(pairs, NEAR.model_copy(update=nowhere)))


def test_the_command_line_writes_the_same_by_processes(
    pairs: list[ScenePair], tmp_path: Path
) -> None:
    folder = str(Path(str(pairs[0].sar)).parent.parent)
    common = ["register", folder, "--near-only", "--model", "similarity", "--device", "cpu"]
    for name, more in (("serial", []), ("parallel", ["--workers", "2"])):
        done = CliRunner().invoke(app, [*common, "--out", str(tmp_path / name), *more])
        assert done.exit_code == 1, done.output  # of the pair that cannot be read
        assert "3 match" in done.output
    files = {
        name: {
            path.relative_to(tmp_path / name): path.read_bytes().replace(name.encode(), b"")
            for path in sorted((tmp_path / name).rglob("*"))
            if path.suffix in (".csv", ".tif", ".geojson")
        }
        for name in ("serial", "parallel")
    }
    assert files["serial"] == files["parallel"]


@pytest.mark.parametrize("count", [1, None])
def test_tiles_that_nothing_matches_are_refused_of_a_batch_too(
    pairs: list[ScenePair], count: int | None
) -> None:
    settings = BatchSettings(matcher="sift", spacing=24.0, device="cpu", workers=count)
    with pytest.raises(SettingError, match="give --refine"):
        list(register_all(pairs[:1], settings))


@pytest.mark.parametrize(("workers_given", "actors"), [(1, 1), (None, 2), (64, 4)])
def test_a_cluster_matches_however_many_pairs_there_are(
    pairs: list[ScenePair],
    workers_given: int | None,
    actors: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = cluster(monkeypatch)
    settings = NEAR.model_copy(update={"engine": "ray", "workers": workers_given})
    assert len(list(register_all(pairs, settings))) == len(pairs)
    assert seen == [actors]


def test_one_actor_is_enough_where_scenes_have_no_tiles(
    pairs: list[ScenePair], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = cluster(monkeypatch)
    settings = NEAR.model_copy(update={"engine": "ray", "model": "auto", "workers": 8})
    assert len(list(register_all(pairs[:1], settings))) == 1
    assert seen == [1], "of a pair that one working grid shows"
    tiled = settings.model_copy(update={"spacing": 24.0})
    with pytest.raises(SettingError, match="--engine ray needs --out"):
        list(register_all(pairs[:1], tiled))
    assert seen == [1], "actors share the tiles of a scene"


def cluster(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A cluster in this process; filled with how many actors each run asks for."""
    seen: list[int] = []

    def here(job: workers.Groups, engine: Engine) -> Iterator[tuple[int, workers.Results]]:
        seen.append(engine.workers)
        work = job.open()
        yield from ((number, work(number)) for number in range(len(job)))

    monkeypatch.setattr(workers, "_by_ray", here)
    return seen
