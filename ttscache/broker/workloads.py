"""Pods: they present their cluster's token, and act by a standing session of the site's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ttscache.broker.keys import digest
from ttscache.broker.standing import StandingSessions
from ttscache.config.settings import WorkloadRule
from ttscache.errors import MappingRefusedError
from ttscache.model import Identity, Pod
from ttscache.net.deadline import Deadline
from ttscache.upstream.token_review import TokenReviews


class Workloads:
    """The rules under `workloads`, the only way in for a cluster's tokens; ``reviews`` by the issuer's name."""

    def __init__(
        self, rules: Iterable[WorkloadRule], standing: StandingSessions, reviews: Mapping[str, TokenReviews]
    ) -> None:
        self._rules = {(rule.issuer, rule.namespace, rule.service_account): rule for rule in rules}
        self._standing = standing
        self._reviews = reviews

    async def acting(self, identity: Identity, token: str, deadline: Deadline) -> Identity:
        """Return as whom the holder of a verified token acts: a pod by its standing session, all others as they are.

        Raises MappingRefusedError for a pod that no rule names, a TokenError for one that is gone; and as opening a
        session does.
        """
        pod = identity.pod
        if pod is None:
            return identity
        rule = self._rule(pod)
        review = self._reviews.get(identity.issuer)
        if review is not None:
            await review.require(token, identity.subject, deadline)
        acting, _ = await self._standing.current(rule.session, deadline)
        return replace(
            acting,
            pod=pod,
            profiles=rule.profiles,
            expires_at=identity.expires_at,
            digest=digest(acting.digest, identity.digest),
        )

    def _rule(self, pod: Pod) -> WorkloadRule:
        rule = self._rules.get((pod.cluster, pod.namespace, pod.service_account))
        if rule is None:
            raise MappingRefusedError(
                f"no rule under `workloads` is for service account '{pod.service_account}' of namespace "
                f"'{pod.namespace}' in cluster '{pod.cluster}'"
            )
        return rule
