"""Mistakes planted in short kernels of PTX written by hand, each of which the interpreter must find, beside
the same kernel without the mistake, which must pass."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from ptxsim.banks import Turns
from ptxsim.counts import slots
from ptxsim.host import Launch
from ptxsim.interpreter import Interpreter
from ptxsim.memory import Fault
from ptxsim.parse import Module

HEAD = """
.version 9.0
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 dynamic[];
.visible .entry k(.param .u64 in, .param .u64 out)
{
.reg .pred %p<4>;
.reg .b32 %r<20>;
.reg .f32 %f<4>;
.reg .b64 %rd<12>;
.shared .align 4 .b8 words[1024];
ld.param.u64 %rd1, [in];
ld.param.u64 %rd2, [out];
mov.u32 %r1, %tid.x;
mov.u32 %r2, %ctaid.x;
mov.u32 %r3, %ntid.x;
mad.lo.s32 %r4, %r2, %r3, %r1;
mul.wide.u32 %rd3, %r4, 4;
add.s64 %rd4, %rd1, %rd3;
add.s64 %rd5, %rd2, %rd3;
shl.b32 %r5, %r1, 2;
mov.u32 %r6, words;
add.s32 %r7, %r6, %r5;
"""


def run(
    body: str,
    threads: int = 64,
    blocks: int = 2,
    given: np.ndarray | None = None,
    shift: int = 0,
    short: int = 0,
) -> np.ndarray:
    """Results of a kernel of one word a thread; ``short``: by how many bytes its output is too small."""
    count = threads * blocks
    data = np.arange(count, dtype=np.uint32) if given is None else given
    machine = Interpreter(size=1 << 20)
    read, written = machine.device.put(data, shift), machine.device.allocate(4 * count - short)
    launch = Launch(
        "k", (blocks, 1, 1), (threads, 1, 1), 256, (struct.pack("<Q", read), struct.pack("<Q", written))
    )
    machine.launch(Module(HEAD + body + "\n}\n").kernel("k"), launch)
    return machine.device.get(written, (count,), np.uint32)


COPY = "ld.global.u32 %r8, [%rd4]; st.global.u32 [%rd5], %r8; ret;"

# The thread's word to shared memory, and that of the neighbour `by` lanes on from it.
ROTATE = """
ld.global.u32 %r8, [%rd4];
st.shared.u32 [%r7], %r8;
{barrier}
add.s32 %r9, %r1, {by};
rem.u32 %r9, %r9, %r3;
shl.b32 %r9, %r9, 2;
add.s32 %r9, %r6, %r9;
ld.shared.u32 %r10, [%r9];
st.global.u32 [%rd5], %r10;
{after}
ret;
"""


def rotated(by: int, threads: int = 64, blocks: int = 2) -> np.ndarray:
    lane = np.arange(threads * blocks).reshape(blocks, threads)
    return np.roll(lane, -by, axis=1).ravel().astype(np.uint32)


def test_copies() -> None:
    assert (run(COPY) == np.arange(128)).all()


def test_out_of_bounds() -> None:
    with pytest.raises(Fault, match="out of bounds"):
        run(COPY, short=4)
    with pytest.raises(Fault, match="out of bounds"):
        run("st.shared.u32 [%r7+1080], %r1; " + COPY)


def test_misaligned() -> None:
    with pytest.raises(Fault, match="misaligned: 4 bytes"):
        run(COPY, shift=2)
    with pytest.raises(Fault, match="misaligned: 8 bytes"):
        run("ld.global.v2.u32 {%r8, %r9}, [%rd4]; ret;")


def test_unwritten() -> None:
    with pytest.raises(Fault, match="unwritten: read device memory"):
        run("ld.global.u32 %r8, [%rd5]; st.global.u32 [%rd5], %r8; ret;")
    with pytest.raises(Fault, match="unwritten: the kernels left"):
        run("setp.eq.s32 %p1, %r4, 5; @%p1 bra $DONE; st.global.u32 [%rd5], %r4; $DONE: ret;")


def test_shared_memory_starts_as_nan() -> None:
    assert (run("ld.shared.u32 %r8, [%r7]; st.global.u32 [%rd5], %r8; ret;") == 0xFFFFFFFF).all()


@pytest.mark.parametrize(
    ("barrier", "by", "found"),
    [
        ("bar.sync 0;", 32, None),
        ("", 32, "race: read what another thread writes in shared memory"),
        ("bar.warp.sync -1;", 32, "race"),  # orders one warp only
        ("bar.sync 0;", 1, None),
        ("", 1, "race"),
        ("shfl.sync.bfly.b32 %r11, %r8, 1, 31, -1;", 1, "race"),  # orders no memory
    ],
)
def test_races_in_shared_memory(barrier: str, by: int, found: str | None) -> None:
    body = ROTATE.format(barrier=barrier, by=by, after="")
    if found is None:
        assert (run(body) == rotated(by)).all()
        return
    with pytest.raises(Fault, match=found):
        run(body)


def test_a_warp_alone_needs_no_more_than_its_own_barrier() -> None:
    body = ROTATE.format(barrier="bar.warp.sync -1;", by=1, after="")
    assert (run(body, threads=32, blocks=4) == rotated(1, 32, 4)).all()


@pytest.mark.parametrize(("by", "barrier"), [(32, "bar.sync 0;"), (1, "bar.warp.sync -1;")])
def test_races_of_a_write_after_a_read(by: int, barrier: str) -> None:
    threads = 64 if by == 32 else 32
    again = "st.shared.u32 [%r7], %r1;"
    run(ROTATE.format(barrier=barrier, by=by, after=barrier + again), threads)
    with pytest.raises(Fault, match="race: wrote what another thread accesses"):
        run(ROTATE.format(barrier=barrier, by=by, after=again), threads)


@pytest.mark.parametrize("missing", [0, 1])
def test_races_of_atomics(missing: int) -> None:
    """A sum is cleared, added to by all, and read: each step after a barrier."""
    clear, add = (
        "setp.ne.s32 %p1, %r1, 0; @!%p1 st.shared.u32 [%r6], 0;",
        "atom.shared.add.u32 %r8, [%r6], 3;",
    )
    read = "ld.shared.u32 %r9, [%r6]; st.global.u32 [%rd5], %r9; ret;"
    assert (run(f"{clear} bar.sync 0; {add} bar.sync 0; {read}") == 3 * 64).all()
    barriers = ["" if i == missing else "bar.sync 0;" for i in range(2)]
    with pytest.raises(Fault, match=r"race: (added to|read) what another thread \w+ in shared memory"):
        run(f"{clear} {barriers[0]} {add} {barriers[1]} {read}")


def test_races_of_a_write_after_a_read_of_device_memory() -> None:
    """Every lane reads the word of the next one, and then writes its own."""
    body = """
    add.s32 %r9, %r4, 1; and.b32 %r9, %r9, 31; mul.wide.u32 %rd6, %r9, 4; add.s64 %rd7, %rd1, %rd6;
    ld.global.u32 %r8, [%rd7]; {barrier} st.global.u32 [%rd4], %r4; st.global.u32 [%rd5], %r8; ret;
    """
    assert (run(body.format(barrier="bar.warp.sync -1;"), threads=32, blocks=1) == rotated(1, 32, 1)).all()
    with pytest.raises(Fault, match="race: wrote what another thread accesses in global memory"):
        run(body.format(barrier=""), threads=32, blocks=1)


def test_no_barrier_orders_two_blocks() -> None:
    """Thread 0 of all writes a word, and a barrier later every thread reads it."""
    body = """
    setp.ne.s32 %p1, %r4, 0; @!%p1 st.global.u32 [%rd1], 7; bar.sync 0;
    ld.global.u32 %r8, [%rd1]; st.global.u32 [%rd5], %r8; ret;
    """
    assert (run(body, blocks=1) == 7).all()
    with pytest.raises(Fault, match="race: read what another thread writes in global memory"):
        run(body, blocks=2)


def test_a_shared_number_whose_name_has_a_dollar() -> None:
    """What nvcc makes of a shared array of one element."""
    body = """
    .shared .align 4 .u32 place_$_0;
    setp.ne.s32 %p1, %r1, 5; @!%p1 st.shared.u32 [place_$_0], %r4; bar.sync 0;
    ld.shared.u32 %r8, [place_$_0]; st.global.u32 [%rd5], %r8; ret;
    """
    assert (run(body) == np.repeat([5, 69], 64)).all()


def test_races_between_lanes_and_blocks() -> None:
    with pytest.raises(Fault, match="race: wrote"):  # one word of shared memory, all lanes
        run("st.shared.u32 [%r6], %r1; " + COPY)
    with pytest.raises(Fault, match=r"race: wrote .* in global memory"):  # one word, lane 0 of each block
        run("setp.ne.s32 %p1, %r1, 0; @!%p1 st.global.u32 [%rd2], %r4; " + COPY, threads=32)


def test_barriers_under_divergence() -> None:
    some = "setp.lt.s32 %p1, %r1, {some}; @%p1 bra $ON; bar.sync 0; $ON: " + COPY
    with pytest.raises(Fault, match="divergence: a barrier of the block with a part of a warp"):
        run(some.format(some=16))
    assert (run(some.format(some=32)) == np.arange(128)).all()  # a warp that ends counts as there
    with pytest.raises(Fault, match="divergence: threads of a block wait at different barriers"):
        run("setp.lt.s32 %p1, %r1, 32; @%p1 bra $A; bar.sync 0; bra $B; $A: bar.sync 0; $B: " + COPY)
    with pytest.raises(Fault, match="divergence: shfl with a part of a warp"):
        run("setp.lt.s32 %p1, %r1, 16; @%p1 bra $ON; shfl.sync.bfly.b32 %r8, %r1, 1, 31, -1; $ON: " + COPY)


def test_an_asynchronous_copy_arrives_when_it_is_waited_for() -> None:
    start = "cp.async.ca.shared.global [%r7], [%rd4], 4; cp.async.commit_group;"
    end = "ld.shared.u32 %r8, [%r7]; st.global.u32 [%rd5], %r8; ret;"
    assert (run(f"{start} cp.async.wait_group 0; {end}") == np.arange(128)).all()
    assert (run(f"{start} cp.async.wait_group 1; {end}") == 0xFFFFFFFF).all()
    zeros = start.replace(", 4;", ", 4, 0;")
    assert (run(f"{zeros} cp.async.wait_group 0; {end}") == 0).all()
    other = "xor.b32 %r9, %r5, 128; add.s32 %r9, %r6, %r9; ld.shared.u32 %r8, [%r9];"
    other += "st.global.u32 [%rd5], %r8; ret;"
    assert (run(f"{start} cp.async.wait_group 0; bar.sync 0; {other}") == rotated(32)).all()
    with pytest.raises(Fault, match="race"):
        run(f"{start} bar.sync 0; cp.async.wait_group 0; {other}")


def test_loops_and_branches_meet_again() -> None:
    """The sum of 0 ... lane, by a loop that every lane leaves at another time; then all lanes exchange it."""
    body = """
    mov.u32 %r8, 0; mov.u32 %r9, 0;
    $LOOP: add.s32 %r8, %r8, %r9; add.s32 %r9, %r9, 1; setp.le.s32 %p1, %r9, %r1; @%p1 bra $LOOP;
    shfl.sync.bfly.b32 %r10, %r8, 1, 31, -1;
    st.global.u32 [%rd5], %r10; ret;
    """
    lane = np.arange(32) ^ 1
    assert (run(body, threads=32, blocks=3) == np.tile(lane * (lane + 1) // 2, 3)).all()


def test_atomics_of_one_address_add_up() -> None:
    body = """
    st.shared.u32 [%r7], 0; bar.sync 0;
    atom.shared.add.u32 %r8, [%r6], 3;
    bar.sync 0;
    ld.shared.u32 %r9, [%r6]; mad.lo.s32 %r8, %r9, 1000, %r8; st.global.u32 [%rd5], %r8; ret;
    """
    found = run(body, blocks=1)
    assert (np.sort(found % 1000) == 3 * np.arange(64)).all()
    assert (found // 1000 == 3 * 64).all()


def test_the_longest_thread_and_the_most_atomics_of_an_address() -> None:
    """One thread of each block goes round 100 times, three slots each; 16 of each add to one word."""
    machine = Interpreter(size=1 << 20)
    read, written = machine.device.put(np.zeros(128, np.uint32)), machine.device.allocate(512)
    body = """
    mov.u32 %r9, 0; setp.ne.s32 %p1, %r1, 3; @%p1 bra $ON;
    $LOOP: add.s32 %r9, %r9, 1; setp.lt.s32 %p1, %r9, 100; @%p1 bra $LOOP;
    $ON: setp.lt.s32 %p1, %r1, 16; @%p1 red.global.add.u32 [%rd1], 1; st.global.u32 [%rd5], %r9; ret;
    """
    parameters = struct.pack("<Q", read), struct.pack("<Q", written)
    machine.launch(Module(HEAD + body + "}").kernel("k"), Launch("k", (2, 1, 1), (64, 1, 1), 0, parameters))
    assert machine.report.crowd["k"] == 32
    assert 300 <= machine.report.longest["k"] < 340


@pytest.mark.parametrize(
    ("step", "width", "turns", "conflicts"),
    [
        (4, 4, 1, 0),
        (8, 4, 1, 1),
        (128, 4, 1, 31),
        (0, 4, 1, 0),
        (16, 16, 4, 0),
        (80, 16, 4, 0),
        (128, 16, 4, 28),
    ],
)
def test_bank_conflicts(step: int, width: int, turns: int, conflicts: int) -> None:
    """Lanes ``step`` bytes from one to the next; of 16 bytes a lane, eight lanes are served at once."""
    found, lane = Turns(), np.arange(32)
    found.add(lane * step, lane, width)
    assert found == Turns(turns, conflicts)


def test_an_unknown_instruction_is_no_silent_nothing() -> None:
    with pytest.raises(Fault, match=r"not understood: tex\.2d"):
        run("tex.2d.v4.f32.s32 %f1, %r1; ret;")


def test_slots() -> None:
    kernel = Module(
        HEAD + "div.rn.f32 %f1, %f2, %f3; add.s64 %rd6, %rd5, 8; mov.u32 %r8, 1; add.s32 %r8, %r8, 1; ret;}"
    )
    assert [slots(code) for code in kernel.kernel("k").code[-5:]] == [8, 2, 0, 1, 1]
