import asyncio

from kappi_client.concurrency import PartSlots


def arrive(slots: PartSlots, count: int) -> None:
    for _ in range(count):
        slots.arrived()


def test_each_round_of_parts_adds_one_slot_up_to_the_maximum() -> None:
    slots = PartSlots(4)
    limits = []
    for _ in range(8):
        limits.append(slots.limit)
        slots.arrived()
    assert limits == [1, 2, 2, 3, 3, 3, 4, 4]


def test_after_a_cut_one_part_at_a_time_is_sent_on_new_connections() -> None:
    slots = PartSlots(4)
    arrive(slots, 6)
    assert (slots.limit, slots.has_been_cut) == (4, False)
    for _ in range(4):  # all four are cut together
        slots.cut()
    assert (slots.limit, slots.has_been_cut) == (1, True)


def test_after_a_cut_eight_parts_add_one_slot_below_the_number_that_was_cut() -> None:
    slots = PartSlots(4)
    arrive(slots, 3)
    assert slots.limit == 3
    slots.cut()
    arrive(slots, 7)
    slots.cut()
    arrive(slots, 7)
    assert slots.limit == 1
    arrive(slots, 1)
    assert slots.limit == 2
    arrive(slots, 100)
    assert slots.limit == 2


async def test_slots_are_given_in_order_up_to_the_limit() -> None:
    slots = PartSlots(2)
    slots.arrived()
    release = asyncio.Event()
    running: list[int] = []
    ended: list[int] = []

    async def send(number: int) -> None:
        async with slots.slot():
            running.append(number)
            await release.wait()
        ended.append(number)

    tasks = [asyncio.create_task(send(number)) for number in range(4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert running == [0, 1]
    tasks[2].cancel()  # a cancelled task leaves the queue
    release.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ended == [0, 1, 3]
