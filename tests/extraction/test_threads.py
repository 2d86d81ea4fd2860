import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from threadpoolctl import threadpool_limits

from lightning_interactions.extraction import threads

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 5], ids="{} threads".format)
def count(request):
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(1)


@pytest.mark.usefixtures("count")
@pytest.mark.parametrize("samples", [0, 1, 2, 7])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_sample_is_in_one_part_and_no_thread_is_left(samples, workers):
    before = threading.active_count()
    parts = threads.in_parts(lambda part: list(range(samples))[part], samples, workers)
    assert [sample for part in parts for sample in part] == list(range(samples))
    assert len(parts) == max(1, min(samples, workers))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert threading.active_count() == before


def test_the_parts_run_at_the_same_time():
    # Each waits for the other.
    meeting = threading.Barrier(2, timeout=60)
    threads.in_parts(lambda _: meeting.wait(), 2, workers=2)


def test_one_part_runs_on_the_thread_of_the_caller():
    assert threads.in_parts(lambda _: threading.get_ident(), 3, workers=1) == [threading.get_ident()]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_part_is_raised(workers):
    with pytest.raises(ZeroDivisionError):
        threads.in_parts(lambda part: 1 // part.start, 2, workers)


def counts():
    """Threads of torch, and of BLAS."""
    return torch.get_num_threads(), *(library.get_num_threads() for library in threads._libraries("blas"))


@pytest.mark.parametrize("workers", [1, 2])
def test_within_a_part_there_is_one_thread_and_afterwards_as_many_as_before(count, workers):
    before = counts()
    inside = threads.in_parts(lambda _: counts(), 2, workers)
    assert before[0] == count
    assert {number for part in inside for number in part} == {1}
    assert counts() == before


def test_so_there_are_after_an_error(count):
    with pytest.raises(ZeroDivisionError):
        threads.in_parts(lambda _: 1 // 0, 1, workers=1)
    assert torch.get_num_threads() == count


def test_the_mkl_of_torch_has_one_thread_within_and_as_many_as_before_afterwards(count):
    swap = threads._mkl_of_torch()

    def now():
        number = swap(1)
        swap(number)
        return number

    swap(7)
    if swap(3) != 7:
        pytest.skip("this build of torch has no MKL")
    swap(count)
    with threads.one_thread():
        assert now() == 1
    assert now() == count


def test_workers_are_the_threads_of_torch_on_a_cpu(count):
    assert threads.most_workers(CPU) == count
    assert threads.most_workers(torch.device("meta")) == 1


def test_they_are_so_within_a_block_of_one_thread(count):
    with threads.one_thread():
        assert torch.get_num_threads() == 1
        with threads.one_thread():
            assert threads.most_workers(CPU) == count
        assert threads.most_workers(CPU) == count
    assert torch.get_num_threads() == count


def test_another_thread_keeps_its_own_number(count):
    seen = []
    with threads.one_thread():
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert seen == [count]


@pytest.mark.parametrize(("workers", "expected"), [(1, 5), (2, 2), (5, 1)])
def test_threads_to_spare_are_those_left_when_every_sample_has_one(workers, expected):
    torch.set_num_threads(5)
    try:
        assert set(threads.in_parts(lambda _: threads.to_spare(), 5, workers)) == {expected}
    finally:
        torch.set_num_threads(1)
    assert threads.to_spare() == 1


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_the_modes_are_those_of_the_caller(inference, gradients):
    with torch.inference_mode(mode=inference), torch.set_grad_enabled(gradients):
        modes = threads.in_parts(lambda _: (torch.is_inference_mode_enabled(), torch.is_grad_enabled()), 2, workers=2)
    assert modes == [(inference, gradients)] * 2


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_task_runs_once(count, workers):
    done = []
    threads.side_by_side(done.append, count, workers)
    assert sorted(done) == list(range(count))


def test_an_error_in_a_task_is_raised():
    with pytest.raises(ZeroDivisionError):
        threads.side_by_side(lambda index: 1 // (index - 3), 5, workers=2)


def test_an_error_in_one_part_ends_the_others():
    def task(part):
        if part.start == 0:
            raise ZeroDivisionError
        while True:
            threads.check_stop()

    with pytest.raises(ZeroDivisionError):
        threads.in_parts(task, 2, workers=2)


def test_an_interrupt_ends_all_parts(monkeypatch):
    monkeypatch.setattr(threads, "wait", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    ended = []

    def task(part):
        try:
            while True:
                threads.check_stop()
        finally:
            ended.append(part)

    with pytest.raises(KeyboardInterrupt):
        threads.in_parts(task, 2, workers=2)
    assert len(ended) == 2


def test_parts_within_parts_leave_the_outer_ones_as_they_are():
    def outer(_):
        before = threads.to_spare()
        threads.in_parts(lambda _: None, 1, workers=1)
        return before, threads.to_spare()

    ((before, after),) = threads.in_parts(outer, 1, workers=1)
    assert before == after


def test_calls_that_overlap_leave_the_threads_of_blas_as_they_were():
    before = counts()[1:]
    first, second = threading.Event(), threading.Event()

    def call(entered, leave):
        threads.in_parts(lambda _: (entered.set(), leave.wait(60)), 1, workers=1)

    leave_first, leave_second = threading.Event(), threading.Event()
    calls = [
        threading.Thread(target=call, args=arguments) for arguments in ((first, leave_first), (second, leave_second))
    ]
    for thread, entered in zip(calls, (first, second), strict=True):
        thread.start()
        assert entered.wait(60)
    leave_first.set()
    calls[0].join()
    inside = counts()[1:]
    leave_second.set()
    calls[1].join()
    assert set(inside) == {1}
    assert counts()[1:] == before


def test_a_limit_of_somebody_elses_keeps_no_thread_from_having_one(count):
    with threadpool_limits(2), ThreadPoolExecutor(1) as pool:
        inside = pool.submit(threads.in_parts, lambda _: counts(), 2, workers=2).result()
    assert {number for part in inside for number in part} == {1}
    assert torch.get_num_threads() == count
