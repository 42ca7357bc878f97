"""One run over one cursor, page by page, until nothing more is to be read.

Provider calls happen outside any transaction; each page is committed in steps of at most `STEP` items, the cursor moving
with the last of them. A run that dies anywhere is begun again from the last whole page, and `plan` writes only what still
differs. After the last page of a full read, a sweep deletes what it did not show; the run of a resource that exists no more
is nothing but that sweep.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, assert_never
from uuid import UUID, uuid4

import httpx
import orjson

from outbox import commit, cursors
from outbox.commit import Applied, Step
from outbox.connections import place
from outbox.cursors import Advance, Finish, Halt, Progress, Retry, Shut, Work
from outbox.failpoint import reach
from outbox.hint import Hint
from outbox.postgres import BAD_DATA, Pool
from outbox.vault import CannotOpen, Vault
from processors.derive.ids import Ids
from processors.plan import Ending, Status, plan, shut, state, state_id, sweep
from processors.providers import Access, Reader, watcher
from schemas import tracing
from schemas.change import FoundBy
from schemas.outcome import Expired, Fetching, Gone, ParkReason, Reauthorize, RetryAfter
from schemas.plan import Clock, Mapping, Observed, Page, Plan, Rejected, Run
from schemas.receipt import SetAside
from schemas.telemetry import CHANGES, RUNS

log = logging.getLogger(__name__)

STEP: Final = 500
"""Items of one transaction at most."""
EMPTY_PAGES: Final = 500
"""A page may be empty and have a next one; so many in a row are no list that ends."""
TELL_AFTER: Final = 3
"""Failed attempts in a row after which subscribers hear that a resource is not kept up to date."""


class OneRun:
    """A run over one cursor. `position` and `full_run` are what the cursor has after the last whole page."""

    def __init__(self, pool: Pool, vault: Vault, hint: Hint, reader: Reader, poll: timedelta, work: Work) -> None:
        self._pool = pool
        self._vault = vault
        self._hint = hint
        self._reader = reader
        self._poll = poll
        self._work = work
        self._ids = Ids(work.tenant_id, work.provider, work.account)
        self._run = _run(work)
        self._position = work.position
        self._full_run = work.full_run
        self._started_over = False
        self._empty_pages = 0
        self._watched = [reader.PRODUCT] if watcher(work.provider, work.resource) else []
        self._counts: Counter[str] = Counter()

    async def to_its_end(self, client: httpx.AsyncClient, base_url: str) -> None:
        """Fetches and commits until the end. Raises `FenceLost`, and what the database raises when it is away."""
        named = {"provider": self._run.provider, "resource": self._run.resource, "run_id": str(self._run.run_id)}
        with tracing.span("sync", self._run.trace, **named):
            await self._to_its_end(client, base_url)

    async def _to_its_end(self, client: httpx.AsyncClient, base_url: str) -> None:
        if self._work.closed:
            await self._delete_everything()
            return
        try:
            token = self._vault.open_text(self._work.credentials, place(self._work.connection_id))
        except CannotOpen as error:
            await self.fail(RetryAfter(f"the credentials cannot be opened: {error}"))
            return
        access = Access(base_url, token)
        more = True
        while more:
            now = datetime.now(UTC)
            resource = self._work.resource
            with tracing.span("fetch"):
                answer = await self._reader.fetch(client, access, resource, self._position, self._ids, now)
            reach("sync.after_fetch")
            answer = self._unless_endless(answer)
            match answer:
                case Page():
                    await self._store(answer)
                    more = answer.more
                case Expired() if self._started_over:
                    await self.fail(RetryAfter(f"{answer.why}, again after starting over"))
                    return
                case Expired():
                    self._start_over(answer)
                case RetryAfter() | Reauthorize():
                    await self.fail(answer)
                    return
                case Gone():
                    await self._ask_who_lists_it(answer)
                    return
                case _:
                    assert_never(answer)
        if self._full_run is not None:
            await self._sweep(self._full_run)
        RUNS.labels(self._work.provider, "done").inc()

    async def fail(self, why: RetryAfter | Reauthorize) -> None:
        """Ends the run without its page; says so to subscribers when it lasts, or when a person has to act."""
        halted = isinstance(why, Reauthorize)
        step: Progress = Halt(why.why) if isinstance(why, Reauthorize) else Retry(why.why, why.at)
        status: Status = "needs_reauthorization" if halted else "retrying"
        tell = halted or self._work.attempts + 1 >= TELL_AFTER

        def decide(known: dict[UUID, Mapping], clock: Clock) -> Plan:
            ending = Ending(status, detail=why.why)
            return state(self._run, known.get(state_id(self._run)), ending, clock) if tell else Plan()

        await self._apply(Step(decide, beside=[state_id(self._run)], progress=step))
        RUNS.labels(self._work.provider, "halted" if halted else "retried").inc()
        log.warning(
            "run did not succeed",
            extra={
                "connection_id": self._work.connection_id,
                "resource": self._work.resource,
                "run_id": self._run.run_id,
                "attempt": self._work.attempts + 1,
                "detail": why.why,
            },
        )

    def _unless_endless(self, answer: Page | Fetching) -> Page | Fetching:
        """The answer; where it leads on from empty page to empty page, a failure, for that would keep its place for ever."""
        empty = isinstance(answer, Page) and answer.more and not answer.observed and not answer.rejected
        self._empty_pages = self._empty_pages + 1 if empty else 0
        if self._empty_pages < EMPTY_PAGES:
            return answer
        return RetryAfter(f"{EMPTY_PAGES} pages one after the other show nothing")

    async def _ask_who_lists_it(self, gone: Gone) -> None:
        """The resource may be gone, or hidden from us by a mistake that passes: only what lists it can close it."""
        work = self._work
        await self.fail(RetryAfter(f"{gone.why}; what lists it is asked"))
        await cursors.look(self._pool, work.tenant_id, work.connection_id, self._reader.ROOTS)

    def _start_over(self, expired: Expired) -> None:
        """Forgets the position, so that the next fetch reads everything. Once in a run: a second time is a failure.

        A provider that refuses a position in the middle of every full read would be asked for ever, without a pause.
        """
        log.info("position expired", extra={"cursor_id": self._work.held.key, "detail": expired.why})
        self._position, self._full_run, self._started_over = None, None, True

    async def _store(self, page: Page) -> None:
        """Commits a page in steps. Only the last one moves the cursor: a page is stored whole or fetched again."""
        if page.full and not page.continues:
            # A full read that begins anew shows everything anew; marks of an earlier one prove nothing.
            self._full_run = uuid4()
            self._run = replace(self._run, found_by="full")
        last = not page.more and self._full_run is None
        aside = [self._set_aside(rejected) for rejected in page.rejected]
        self._counts["rejected"] += len(aside)
        shown = [rejected.item_id for rejected in page.rejected if rejected.item_id is not None]
        chunks = [page.observed[at : at + STEP] for at in range(0, len(page.observed), STEP)] or [()]
        for chunk in chunks[:-1]:
            await self._store_items(chunk, (), None)
            reach("sync.between_pages")
        progress = self._finish(page.position) if last else Advance(page.position, self._full_run)
        await self._store_items(chunks[-1], aside, progress, shown)
        self._position = page.position
        if not last:
            reach("sync.between_pages")

    async def _store_items(
        self,
        observed: Sequence[Observed],
        aside: Sequence[SetAside],
        progress: Progress | None,
        shown: Iterable[UUID] = (),
    ) -> None:
        """Commits one step; where the database refuses some item, the items around it, and sets that one aside."""
        items = [*dict.fromkeys(seen.item_id for seen in observed), *shown]
        around = {seen.part_of for seen in observed if seen.only_within and seen.part_of is not None}
        ends = isinstance(progress, Finish)

        def decide(known: dict[UUID, Mapping], clock: Clock) -> Plan:
            found = self._with_resources(plan(self._run, observed, known, clock))
            return self._ended(found, known, clock) if ends else found

        step = Step(
            decide,
            items,
            beside=[*around, state_id(self._run)] if ends else around,
            wholes=[seen.item_id for seen in observed if seen.snapshot is None],
            seen=self._full_run,
            progress=progress,
            aside=aside,
        )
        try:
            await self._apply(step)
        except BAD_DATA as error:
            if not observed:
                raise
            await self._store_around(observed, aside, progress, shown, error)

    async def _store_around(
        self,
        observed: Sequence[Observed],
        aside: Sequence[SetAside],
        progress: Progress | None,
        shown: Iterable[UUID],
        error: Exception,
    ) -> None:
        if len(observed) == 1:
            (one,) = observed
            self._counts["rejected"] += 1
            refused = Rejected(one.kind, one.external_id, f"{type(error).__name__}", orjson.dumps(one.snapshot))
            bad = self._set_aside(refused, "bug")
            await self._store_items((), [*aside, bad], progress, [*shown, one.item_id])
            return
        half = len(observed) // 2
        await self._store_items(observed[:half], (), None)
        await self._store_items(observed[half:], aside, progress, shown)

    async def _sweep(self, full_run: UUID) -> None:
        """Deletes what the full read did not show and would have shown, then ends the run."""

        def decide(known: dict[UUID, Mapping], clock: Clock) -> Plan:
            unseen = [held for held in known.values() if self._reader.shown(held, clock.now)]
            return self._with_resources(sweep(self._run, unseen, clock))

        while (await self._apply(Step(decide, sweep=full_run))).known:
            reach("sync.between_pages")
        assert self._position is not None
        self._full_run = None
        await self._store_items((), (), self._finish(self._position))

    async def _delete_everything(self) -> None:
        """Deletes what the closed resource held, and the state of its cursor with it."""

        def decide(known: dict[UUID, Mapping], clock: Clock) -> Plan:
            return sweep(self._run, list(known.values()), clock)

        def end(known: dict[UUID, Mapping], clock: Clock) -> Plan:
            return shut(self._run, known.get(state_id(self._run)), clock)

        nothing = uuid4()
        while (await self._apply(Step(decide, sweep=nothing))).known:
            reach("sync.between_pages")
        await self._apply(Step(end, beside=[state_id(self._run)], progress=Shut()))
        RUNS.labels(self._work.provider, "closed").inc()

    def _with_resources(self, found: Plan) -> Plan:
        """The plan with the resources that come and go with its items."""
        resources = [(self._reader.holds(one.kind, one.external_id), one.deleted) for one in found.mappings]
        return replace(
            found,
            opened=[name for name, deleted in resources if name is not None and not deleted],
            closed=[name for name, deleted in resources if name is not None and deleted],
        )

    def _finish(self, position: str) -> Finish:
        return Finish(position, self._work.wanted, self._poll)

    def _ended(self, found: Plan, known: dict[UUID, Mapping], clock: Clock) -> Plan:
        """The plan of the last step, with the state of the cursor after it."""
        counts = self._counts + Counter(change.action for change in found.changes)
        ending = Ending(
            "ok",
            full=self._run.found_by == "full",
            created=counts["created"],
            updated=counts["updated"],
            deleted=counts["deleted"],
            rejected=counts["rejected"],
        )
        after = state(self._run, known.get(state_id(self._run)), ending, clock)
        return replace(found, mappings=[*found.mappings, *after.mappings], changes=[*found.changes, *after.changes])

    async def _apply(self, step: Step) -> Applied:
        step = replace(step, counts=self._counts, watched=self._watched)
        with tracing.span("apply"):
            applied = await commit.apply(self._pool, self._vault, self._work.held, self._run, step)
        if applied.drained:
            self._hint.ring()
        for change in applied.plan.changes:
            self._counts[change.action] += 1
            CHANGES.labels(change.kind, change.found_by).inc()
        return applied

    def _set_aside(self, rejected: Rejected, reason: ParkReason = "item_malformed") -> SetAside:
        work = self._work
        source = f"{work.connection_id}/{self._run.run_id}/{rejected.kind}/{rejected.external_id or 'unknown'}"
        return SetAside(
            work.provider, reason, rejected.detail, source, rejected.raw, work.tenant_id, work.connection_id
        )


def _run(work: Work) -> Run:
    run_id = uuid4()
    # What made it wanted without a cause was a look of our own, not the provider's word.
    cause = work.cause if work.wanted > work.done else None
    in_full = not work.closed and (work.position is None or work.full_run is not None)
    found_by: FoundBy = "full" if in_full else "push" if cause else "poll"
    return Run(
        run_id=run_id,
        tenant_id=work.tenant_id,
        profile_id=work.profile_id,
        connection_id=work.connection_id,
        provider=work.provider,
        account=work.account,
        lane=work.lane,
        resource=work.resource,
        found_by=found_by,
        causation_id=cause or str(run_id),
        wanted=work.wanted,
        trace=work.trace if cause else None,
    )
