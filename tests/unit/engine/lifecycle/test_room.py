"""What fits on an instance, and where the next copy goes."""

from intermodal_engine.lifecycle.room import Needs, Room, choose_room, fresh_needed

KIND = "ml.g5.12xlarge"  # 48 vCPUs, 192 GiB, 4 GPUs
GPU = Needs(accelerators=1)


def rooms(*zones: str) -> list[Room]:
    return [Room(f"i-{number}", zone, KIND) for number, zone in enumerate(zones)]


def test_each_of_cores_accelerators_and_memory_is_a_limit() -> None:
    for needs, count in (
        (Needs(cpus=12), 4),
        (Needs(cpus=0.5, accelerators=1), 4),
        (Needs(memory_mib=64 * 1024), 3),
        (Needs(cpus=49), 0),
    ):
        room = Room("i-1", "a", KIND)
        taken = 0
        while room.fits(needs):
            room.take("one", needs)
            taken += 1
        assert taken == count, needs


def test_copies_are_spread_over_instances_and_then_over_zones() -> None:
    there = rooms("a", "a", "b")
    chosen = []
    for _ in range(4):
        room = choose_room(there, "one", GPU)
        assert room is not None
        room.take("one", GPU)
        chosen.append(room.zone)
    assert chosen[:3] == ["a", "b", "a"]
    assert there[0].copies["one"] + there[1].copies["one"] + there[2].copies["one"] == 4


def test_of_instances_without_a_copy_the_emptiest_is_chosen_or_packed_the_fullest() -> None:
    there = rooms("a", "b")
    there[0].take("other", GPU)
    assert choose_room(there, "one", GPU) is there[1]
    assert choose_room(there, "one", GPU, is_packed=True) is there[0]


def test_where_nothing_fits_there_is_no_room() -> None:
    there = rooms("a")
    for _ in range(4):
        there[0].take("other", GPU)
    assert choose_room(there, "one", GPU) is None
    assert choose_room(there, "one", GPU, is_packed=True) is None
    assert choose_room([], "one", GPU) is None


def test_an_instance_type_that_is_not_known_has_all_that_is_asked_for() -> None:
    assert Room("i-1", "a", "ml.z9.huge").fits(Needs(cpus=10_000))


def test_new_instances_are_counted_by_what_fits_on_them() -> None:
    assert fresh_needed([], KIND, 9) == 0
    assert fresh_needed([(GPU, 4)], KIND, 9) == 1
    assert fresh_needed([(GPU, 3), (GPU, 2)], KIND, 9) == 2
    assert fresh_needed([(Needs(accelerators=5), 1)], KIND, 9) == 0


def test_no_more_new_instances_are_counted_than_may_be() -> None:
    assert fresh_needed([(GPU, 10**9)], KIND, 2) == 2
    assert fresh_needed([(GPU, 10**9)], KIND, 0) == 0
