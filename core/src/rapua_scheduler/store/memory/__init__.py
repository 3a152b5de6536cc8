"""The store that forgets: for embedding, dry runs and tests."""

from rapua_scheduler.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
