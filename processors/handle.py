"""What a delivery means, as a value: pure, so that accepting, replaying and rehearsing decide alike."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from schemas.delivery import Delivery
from schemas.receipt import Receipt, Target


def handle(delivery: Delivery, offset: int, targets: Mapping[str, Sequence[Target]]) -> Receipt:
    """The receipt of a delivery. Each of ours so far is a look: it makes the cursors of its account wanted.

    A look for an account that nobody connected has no effect, and needs none: connecting reads everything.
    """
    wanted = targets.get(delivery.account, ())
    return Receipt(
        offset=offset,
        delivery_id=delivery.id,
        provider=delivery.provider,
        event=delivery.event,
        account=delivery.account,
        received_at=datetime.fromisoformat(delivery.received_at),
        outcome="wanted" if wanted else "unmatched",
        targets=wanted,
    )
