"""What the daemon decides, as functions of a state, an event and the time: no thread, clock or disk in here.

Times are seconds of a clock that goes on while the machine sleeps and that nobody sets.
"""
