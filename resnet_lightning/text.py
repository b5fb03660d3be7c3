"""Numbers as people read them, the same everywhere."""


def duration(seconds: float) -> str:
    """``8.3 s``, ``2 min 05 s``, ``3 h 07 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(share: float) -> str:
    """0.9905 -> ``99.05 %``"""
    return f"{100 * share:.2f} %"


def count(number: int, noun: str) -> str:
    """``1 job``, ``2 jobs``, ``60,000 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
