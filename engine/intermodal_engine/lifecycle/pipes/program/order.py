"""In which order a channel's records come in an epoch."""


def epoch_order(count: int, seed: int | None, epoch: int) -> list[int]:
    """The positions of `count` records, shuffled anew for each epoch if there is a seed."""
    order = list(range(count))
    if seed is not None:
        import random  # costs 10 ms, which only those who shuffle need to pay

        random.Random(f"{seed}/{epoch}").shuffle(order)
    return order
