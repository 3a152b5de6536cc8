"""Side by side: this scheduler, APScheduler 3, and the raw limits of Python and SQLite."""
