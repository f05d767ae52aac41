"""What the commands of `ttscache site` do: the room's parts, put together, and what a person reads of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import yaml

from k8s_manifests import destroying
from k8s_manifests.applying import Applying
from k8s_manifests.charts import charts_directory
from k8s_manifests.cluster import Api
from k8s_manifests.deployment import Deployment, Tools, deployment, objects_of
from k8s_manifests.errors import SiteError
from k8s_manifests.helm import Helm, Target
from k8s_manifests.loading import load
from k8s_manifests.plan import Act, Step
from k8s_manifests.site import DEFAULT_TOKEN_ISSUER, Cluster, Site
from k8s_manifests.status import Finding, State, findings
from ttscache.cli import options
from ttscache.cli.exits import EXIT_INVALID, EXIT_UNAVAILABLE

_EXIT = {State.OK: 0, State.DEGRADED: 0, State.NOT_READY: EXIT_UNAVAILABLE, State.NO_CREDENTIAL: EXIT_INVALID}
_SIGNS = {State.OK: "ok", State.DEGRADED: "worn", State.NOT_READY: "BAD", State.NO_CREDENTIAL: "BAD"}


def plan(file: Path, names: tuple[str, ...], charts: Path | None, helm: str) -> None:
    """Show what applying would change."""
    for there in _deployments(file, names, charts, helm):
        applying = _applying(there, 0.0)
        steps = applying.plan()
        for line in applying.missing():
            options.show(f"? {line}; apply will not begin without it")
        for step in steps:
            _show_step(step)
        _show_sum(steps)


def render(
    file: Path, names: tuple[str, ...], charts: Path | None, helm: str, *, output: Path, kube_version: str
) -> None:
    """Write the manifests, a directory for each cluster."""
    site, tools = load(file), _tools(charts, helm)
    for cluster in _chosen(site, names):
        issuer = cluster.token_issuer or DEFAULT_TOKEN_ISSUER
        objects = objects_of(site, cluster, tools, Target(kube_version), issuer)
        directory = output / cluster.name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "site.yaml").write_text(yaml.safe_dump_all(map(dict, objects), sort_keys=False))
        click.echo(f"{directory / 'site.yaml'}: {len(objects)} objects")


def apply(file: Path, names: tuple[str, ...], charts: Path | None, helm: str, *, wait: float) -> None:
    """Apply, with a line for each change."""
    for there in _deployments(file, names, charts, helm):
        applying = _applying(there, wait)
        try:
            changed = applying.run()
        except (SiteError, KeyboardInterrupt):
            click.echo(f"broken off after {len(applying.done)} changes; run it again to go on", err=True)
            raise
        click.echo(f"{len(applying.done)} changes; everything is ready" if changed else "nothing to change")


def status(file: Path, names: tuple[str, ...], *, as_json: bool) -> int:
    """Show how everything is, and return the exit status that says it."""
    site, worst, told = load(file), State.OK, []
    for cluster in _chosen(site, names):
        with Api(cluster.kubeconfig, cluster.context) as api:
            if not as_json:
                click.echo(f"cluster {cluster.name} ({api.server}), namespace {cluster.namespace}")
            for finding in findings(api, cluster.namespace, site.name, datetime.now(UTC)):
                worst = max(worst, finding.state)
                told.append(_described(cluster, finding))
                if not as_json:
                    _show_finding(finding)
    if as_json:
        options.show_json({"site": site.name, "state": worst.name.lower(), "findings": told})
    return _EXIT[worst]


def destroy(file: Path, names: tuple[str, ...], *, yes: bool, with_data: bool) -> None:
    """Delete what was applied, when its name has been said."""
    site = load(file)
    for cluster in _chosen(site, names):
        with Api(cluster.kubeconfig, cluster.context) as api:
            doomed = destroying.doomed(api, cluster.namespace, site.name, data=with_data)
            click.echo(f"cluster {cluster.name} ({api.server}), namespace {cluster.namespace}: {len(doomed)} objects")
            for key in doomed:
                options.show(f"- {key}")
            if not yes and doomed and click.prompt("The site's name, to delete them", default="") != site.name:
                raise click.UsageError("that is not the site's name; nothing was deleted")
            destroying.destroy(api, cluster.namespace, doomed, options.show)


def _deployments(file: Path, names: tuple[str, ...], charts: Path | None, helm: str) -> Iterator[Deployment]:
    """Give the chosen clusters one after another, each told before it is used."""
    site, tools = load(file), _tools(charts, helm)
    for cluster in _chosen(site, names):
        with deployment(site, cluster, tools) as there:
            where = f"cluster {cluster.name} ({there.api.server}), namespace {cluster.namespace}"
            click.echo(f"{where}, Kubernetes {there.target.kube_version}")
            yield there


def _tools(charts: Path | None, helm: str) -> Tools:
    return Tools(Helm(helm), charts_directory(charts))


def _chosen(site: Site, names: tuple[str, ...]) -> list[Cluster]:
    unknown = sorted(set(names) - {cluster.name for cluster in site.clusters})
    if unknown:
        known = ", ".join(cluster.name for cluster in site.clusters)
        raise click.UsageError(f"the site has no cluster {', '.join(unknown)}; it has: {known}")
    return [cluster for cluster in site.clusters if not names or cluster.name in names]


def _applying(there: Deployment, wait: float) -> Applying:
    return Applying(there.api, there.cluster, there.objects, options.show, wait)


def _show_step(step: Step) -> None:
    if step.act is Act.KEEP:
        return
    options.show(f"{step.act.value} {step.key}" + (f" ({step.why})" if step.why else ""))
    for each in step.differences:
        if each.before and each.after:
            options.show(f"    {each.path}: {each.before} -> {each.after}")
        else:
            options.show(f"    {each.path}: {'-' if each.before else '+'} {each.before or each.after}")


def _show_sum(steps: list[Step]) -> None:
    words = {Act.CREATE: "to create", Act.CHANGE: "to change", Act.REPLACE: "to run again", Act.DELETE: "to delete"}
    counts = [f"{sum(step.act is act for step in steps)} {word}" for act, word in words.items()]
    click.echo(", ".join([*counts, f"{sum(step.act is Act.KEEP for step in steps)} as they are"]))


def _show_finding(finding: Finding) -> None:
    options.show(f"{_SIGNS[finding.state]:4} {finding.kind:10} {finding.name}: {finding.text}")


def _described(cluster: Cluster, finding: Finding) -> dict[str, str]:
    described = {"cluster": cluster.name, "kind": finding.kind, "name": finding.name}
    return {**described, "state": finding.state.name.lower(), "text": finding.text}
