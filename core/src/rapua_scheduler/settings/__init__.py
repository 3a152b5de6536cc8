"""Settings: tables of the configuration as instances of classes, nothing guessed, every mistake shown."""

from rapua_scheduler.settings.classes import is_settings_class
from rapua_scheduler.settings.mistakes import Where, did_you_mean
from rapua_scheduler.settings.scalars import ByteSize, named_zone
from rapua_scheduler.settings.structuring import structure_settings

__all__ = ["ByteSize", "Where", "did_you_mean", "is_settings_class", "named_zone", "structure_settings"]
