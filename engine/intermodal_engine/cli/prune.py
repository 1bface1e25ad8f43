"""`intermodal prune`: frees what ended jobs left behind, whether an engine runs or not."""

import argparse
import json
import time

from intermodal_engine.cli.main import EXIT_OK, settings_of
from intermodal_engine.cli.output import print_note
from intermodal_engine.clock import SystemClock
from intermodal_engine.drivers.choose import prune_containers
from intermodal_engine.drivers.network.choice import prune_networks
from intermodal_engine.drivers.unavailable import DriverUnavailableError
from intermodal_engine.home import is_locked
from intermodal_engine.lifecycle.prune import Pruned
from intermodal_engine.lifecycle.prune import prune as free
from intermodal_engine.settings import Settings
from intermodal_engine.store.database import Database
from intermodal_engine.store.records import Records


def prune(options: argparse.Namespace) -> int:
    """Removes what ended long enough ago and says what went."""
    settings = settings_of(options)
    pruned: list[Pruned] = []
    if settings.database_file.exists():
        database = Database(settings.database_file)
        pruned = free(
            settings,
            Records(database, SystemClock()),
            now=time.time(),
            older_than_s=options.older_than,
            dry_run=options.dry_run,
        )
        database.close()
    if not options.dry_run:
        tidy_networks(settings)
    pruned.sort(key=lambda one: (one.what, one.path))
    if options.json:
        rows = [{"what": p.what, "path": str(p.path), "size_bytes": p.size_bytes} for p in pruned]
        print(json.dumps(rows, indent=2))
        return EXIT_OK
    for one in pruned:
        print(f"{one.what:<8} {_readable(one.size_bytes):>10}  {one.path}")
    total = _readable(sum(one.size_bytes for one in pruned))
    verb = "would be freed" if options.dry_run else "freed"
    print_note(f"{total} {verb}, in {len(pruned)} places")
    return EXIT_OK


def tidy_networks(settings: Settings) -> None:
    """Removes interfaces, firewall rules, containers of instances that ended while none ran."""
    try:
        prune_networks(settings.driver_folder)
    except OSError as error:
        print_note(f"what is left of its networks cannot be removed: {error}")
    if is_locked(settings.home):
        return  # the engine that runs does that, and may be about to use what looks unused
    try:
        prune_containers(settings.driver_folder)
    except DriverUnavailableError as error:
        print_note(f"what is left of its containers cannot be removed: {error}")


def _readable(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"
