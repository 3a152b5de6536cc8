"""What an operator may set for this plugin."""

from __future__ import annotations

from datetime import timedelta

from attrs import field, frozen, validators


@frozen
class CreditTopUpSettings:
    """Settings under [rapua_scheduler.plugins.credit_topup].

    Attributes:
        batch_size: Most users that are credited in one transaction; fewer are whenever one takes
            long enough for the site's own writes to notice.
        pause: Wait between two transactions, in which the site's own writes get through.
    """

    batch_size: int = field(default=1000, validator=validators.ge(1))
    pause: timedelta = field(default=timedelta(milliseconds=10), validator=validators.ge(timedelta(0)))
