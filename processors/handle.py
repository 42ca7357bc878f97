"""What a delivery means, as a value: pure, so that accepting, replaying and rehearsing decide alike."""

from collections.abc import Sequence
from datetime import datetime

from schemas.delivery import Delivery, Via
from schemas.outcome import AcceptOutcome
from schemas.receipt import Known, Receipt, Subscription, Target


def handle(delivery: Delivery, offset: int, known: Known) -> Receipt:
    """The receipt of a delivery. Each of ours so far is a look: it makes cursors wanted.

    One that names an account concerns all its cursors; one that came through a subscription the cursor of that resource.
    A look for what nobody connected has no effect, and needs none: connecting reads everything.
    """
    account, outcome, targets = _meaning(delivery, known)
    return Receipt(
        offset=offset,
        delivery_id=delivery.id,
        provider=delivery.provider,
        event=delivery.event,
        account=account,
        received_at=datetime.fromisoformat(delivery.received_at),
        outcome=outcome,
        targets=targets,
        via=delivery.via,
        trace=delivery.trace,
    )


def _meaning(delivery: Delivery, known: Known) -> tuple[str, AcceptOutcome, Sequence[Target]]:
    if delivery.via is None:
        targets = known.accounts.get(delivery.account, ())
        return delivery.account, "wanted" if targets else "unmatched", targets
    subscription = known.subscriptions.get(delivery.via.subscription_id)
    if subscription is None:
        return delivery.account, "unmatched", ()
    if subscription.target is None or not _is_for(subscription, delivery.via):
        return subscription.account, "stale", ()
    return subscription.account, "wanted", (subscription.target,)


def _is_for(subscription: Subscription, via: Via) -> bool:
    """Whether the subscription lives and announces what the provider names. What neither of us knows yet is no mismatch."""
    return subscription.live and (
        subscription.external_id is None or via.external_id is None or subscription.external_id == via.external_id
    )
