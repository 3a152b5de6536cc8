"""Look after the file of a store: check, back up and restore it, and read it as a whole.

Functions on paths, for recovery: they import no plugin, and print nothing.
"""

from rapua_scheduler.store.maintenance.backups import Backup, back_up
from rapua_scheduler.store.maintenance.condition import Condition, inspect_store
from rapua_scheduler.store.maintenance.restoring import Restored, restore

__all__ = ["Backup", "Condition", "Restored", "back_up", "inspect_store", "restore"]
