"""Which signals ask a run, or a sweep, to stop in order."""

import signal


def stop_signals() -> list[signal.Signals]:
    """Ctrl-C, SIGTERM, and SIGHUP, which comes with the end of a terminal; not where ``nohup`` has it ignored."""
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    heard = hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.Signals.SIGHUP] if heard else [])]
