"""A finished job searched once more: under other options, or with its two images swapped."""

from __future__ import annotations

from typing import Any

from crosslook.errors import SettingError
from crosslook.explore.jobs import Job, Jobs
from crosslook.explore.options import checked

_KINDS = ("locate", "register", "refit", "written")


def search_again(jobs: Jobs, old: Job, changes: dict[str, Any], *, swap: bool) -> Job:
    """Queue a job with the images of another one.

    Parameters
    ----------
    jobs : Jobs
    old : Job
        One that located or registered, here or on the command line.
    changes : dict
        Options of a request, which are checked; None takes one out.
    swap : bool
        Whether the SAR image is the optical one.

    Raises
    ------
    SettingError
        If the job matched nothing, or an option is not allowed.
    """
    if old.kind not in _KINDS:
        raise SettingError("only a located or registered image can be searched for again.")
    work = dict(old.work.get("by_hand", old.work))
    work.pop("points", None)
    kind = "locate" if "atlas" in work else "register"
    if swap:
        if kind == "locate":
            raise SettingError("an image and an atlas cannot be swapped.")
        work["sar"], work["optical"] = work["optical"], work["sar"]
    # What a person of the command line set may name files; what a page changes may not.
    given = checked(kind, {name: value for name, value in changes.items() if value is not None})
    kept = {name: v for name, v in work["settings"].items() if name not in changes}
    work["settings"] = {**kept, **given}
    title = old.title if not swap else f"{work['sar']['name']} on {work['optical']['name']}"
    request = {
        **{name: value for name, value in old.request.items() if name not in ("points", "state")},
        "settings": work["settings"],
        "from": old.id,
    }
    if swap and {"sar", "optical"} <= request.keys():
        request["sar"], request["optical"] = request["optical"], request["sar"]
    return jobs.add(kind, title, request, work)
