"""Memory that brackets take, and how many workers have room for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apnt.batch.facts import Facts
from apnt.batch.memory import Network, need_of, network_of
from apnt.batch.nodes import placed
from apnt.batch.pace import Pace
from apnt.batch.plan import Bracket
from apnt.batch.run import Expected
from apnt.batch.settings import Settings
from apnt.batch.shots import Shot
from apnt.errors import InputError
from apnt.io.exif import ExifExposure
from apnt.io.taken import Taken

GB = 10**9


def bracket(frames: int, size: tuple[int, int], name: str = "a") -> Bracket:
    """A bracket of frames that lie nowhere."""
    small = np.zeros((1, 1), np.float32)
    shots = [
        Shot(Path(f"{name}{n}.jpg"), "", "JPEG", size, Taken(), ExifExposure(), small) for n in range(frames)
    ]
    return Bracket(name, tuple(shots))


SMALL, LARGE = bracket(3, (96, 144)), bracket(7, (4000, 6000), "large")


def test_frames_that_do_not_fit_lie_in_files() -> None:
    roomy, tight = (need_of([SMALL, LARGE], Network(), there) for there in (64 * GB, 2 * GB))
    assert roomy.limits == [None, None]
    assert 7 * 12 * LARGE.pixels < roomy.most < 64 * GB
    assert tight.limits == [None, 2 * GB]
    assert tight.most < 2 * GB
    with pytest.raises(InputError, match=r"at least .* for large \(7 x 6000 x 4000 pixels\), and 500 MB may"):
        need_of([SMALL, LARGE], Network(), 500 * 10**6)


def test_what_a_need_names_as_least_suffices() -> None:
    network = network_of(Settings(device="cpu"))
    least = need_of([SMALL, LARGE], network, 64 * GB).least
    assert need_of([SMALL, LARGE], network, least).most <= least
    with pytest.raises(InputError, match="memory must be at least"):
        need_of([SMALL, LARGE], network, least // 2)


def test_a_report_takes_memory_too() -> None:
    small, two = bracket(3, (600, 800)), bracket(2, (4000, 6000))
    for settings in (Settings(device="cpu"), Settings(method="weighted")):
        plain = network_of(settings)
        with_report = network_of(replace(settings, report=True))
        assert with_report == replace(plain, report=True)
        for one in (small, two):
            assert (
                need_of([one], plain, 64 * GB).most < need_of([one], with_report, 64 * GB).most + one.pixels
            )
    # Where frames lie in files, what is drawn of the page does not.
    least = need_of([LARGE], Network(), 64 * GB).least
    page = need_of([LARGE], Network(report=True), 64 * GB).least
    assert page - least > 60 * LARGE.pixels
    with pytest.raises(InputError, match="memory must be at least"):
        need_of([LARGE], Network(report=True), least)


def test_the_network_counts_by_its_weights() -> None:
    whole = bracket(3, (600, 800))
    needs = [
        need_of([whole], network_of(Settings(weights=name, device="cpu", precision="fp32")), 64 * GB).most
        for name in ("fast", "default")
    ]
    assert needs[0] < needs[1]
    assert network_of(Settings(method="weighted")) == Network()


def test_as_many_workers_as_memory_has_room_for() -> None:
    nodes = [{"CPU": 8.0, "memory": 4.0 * GB}, {"CPU": 4.0, "memory": 4.0 * GB}]
    each = need_of([LARGE], Network(), 4 * GB).least
    many = [LARGE] * 40
    assert placed(nodes, many, Network()).count == 2
    crowded = placed(nodes, many, Network(), jobs=40)
    assert (crowded.count, crowded.wanted) == (2 * (4 * GB // each), 40)
    assert crowded.need.there * (4 * GB // each) <= 4 * GB
    assert crowded.need.most <= crowded.need.there
    assert crowded.resources["memory"] == crowded.need.most
    assert placed(nodes, many, Network(), jobs=3, memory=2 * GB).need.there == 2 * GB
    assert placed(nodes, [LARGE], Network(), jobs=3).count == 1


def test_nodes_without_room_get_no_worker() -> None:
    nodes = [{"CPU": 8.0, "memory": 16.0 * GB}, {"CPU": 1.0, "memory": 0.2 * GB}]
    place = placed(nodes, [LARGE, LARGE, LARGE], Network())
    assert place.threads == 8  # of the one that can
    assert place.need.there <= 16 * GB
    with pytest.raises(InputError, match="200 MB may be taken"):
        placed(nodes[1:], [LARGE], Network())


def test_gpus_decide_and_hold_the_network() -> None:
    nodes = [{"CPU": 8.0, "GPU": 2.0, "memory": 32.0 * GB}]
    place = placed(nodes, [SMALL] * 9, network_of(Settings(device="cpu")), gpu=True)
    assert place.count == 2
    assert (place.resources["num_gpus"], place.resources["num_cpus"]) == (1, 1)
    assert place.need.most == need_of([SMALL], Network(), 32 * GB).most
    reported = placed(nodes, [LARGE] * 9, network_of(Settings(device="cpu", report=True)), gpu=True)
    assert reported.need.least == need_of([LARGE], Network(report=True), 32 * GB).least


def test_facts_name_what_memory_costs() -> None:
    need = need_of([SMALL, LARGE], Network(), 2 * GB)
    facts = Facts([SMALL, LARGE], 5, Expected(need, None, 2, 4))
    first, second = facts.sentences()
    assert "2 brackets of 10 photographs" in first
    assert "5 done before; the largest is large, 7 x 6000 x 4000 pixels" in first
    assert "of 2.0 GB that may be taken for each of 2 workers" in second
    assert "frames of 1 bracket lie in files" in second
    assert "4 workers do not fit into memory, 2 do" in second
    assert "the time is known after the first bracket" in second
    assert facts.record()["seconds"] is None
    paced = Facts([SMALL, SMALL], 0, Expected(need, Pace(), 2))
    assert paced.seconds == Pace().seconds(SMALL)
    assert "about 0.8 s a bracket, 0.8 s in all" in paced.sentences()[1]
    assert Facts([], 3, None).sentences() == ["nothing: all 3 brackets were done before"]
    assert Facts([], 0, None).sentences() == ["no brackets"]
