"""Runs commands one after another and tells what they cost; a script of its own, of the standard library only.

It exists because Linux charges a new process with the peak memory of the one that started it: started from here the
floor is that of a bare interpreter (about 10 MB) and not that of the whole benchmark. The job arrives as JSON on stdin
(`commands`: [{argv, cwd, env}], `log`: a file for what they print), the answer leaves as JSON on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time


def busy_seconds() -> float:
    """CPU time that anybody has used since boot; stolen time counts, a guest's is part of user's."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def run(argv: list[str], cwd: str | None, env: dict[str, str], log: int) -> tuple[int, float, float, int]:
    """Start one command, wait for it; its exit code, user and system seconds, peak KiB, children counted in."""
    if cwd is not None:
        os.chdir(cwd)
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]  # type: ignore[list-item]  # mypy infers the first action's shape
    pid = os.posix_spawnp(argv[0], argv, env, file_actions=actions)
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime, used.ru_stime, used.ru_maxrss


def main() -> None:
    """Do the job on stdin; the first command that fails is the last one."""
    job = json.load(sys.stdin)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    user = system = 0.0
    rss = code = 0
    busy, began = busy_seconds(), time.perf_counter()
    for command in job["commands"]:
        code, user_s, system_s, peak = run(command["argv"], command["cwd"], command["env"], log)
        user, system, rss = user + user_s, system + system_s, max(rss, peak)
        if code:
            break
    wall = time.perf_counter() - began
    others = busy_seconds() - busy - user - system
    json.dump(
        {"code": code, "wall_s": wall, "user_s": user, "system_s": system, "rss_bytes": rss * 1024, "others_s": others},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
