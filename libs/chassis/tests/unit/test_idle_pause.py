from kappi_chassis.idle_pause import IdlePause


def test_a_pause_doubles_while_nothing_is_found_up_to_the_longest() -> None:
    pause = IdlePause(1.0, longest_s=5.0)
    assert [pause.after(found=False) for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_find_and_a_wake_up_shorten_it_again() -> None:
    pause = IdlePause(1.0)
    for _ in range(9):
        pause.after(found=False)
    assert pause.after(found=True) == 1.0
    assert pause.after(found=False) == 2.0
    pause.reset()
    assert pause.after(found=False) == 1.0


def test_a_first_pause_that_is_longer_than_the_longest_stays() -> None:
    pause = IdlePause(60.0, longest_s=8.0)
    assert [pause.after(found=False) for _ in range(2)] == [60.0, 60.0]
