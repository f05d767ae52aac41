"""`ttscache site`: the stateless site from one file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import yaml

from k8s_manifests import destroying, initial
from k8s_manifests.applying import Applying
from k8s_manifests.charts import charts_directory
from k8s_manifests.cluster import Api
from k8s_manifests.deployment import Deployment, Tools, deployment, objects_of
from k8s_manifests.errors import SiteError
from k8s_manifests.helm import Helm, Target
from k8s_manifests.loading import load, schema
from k8s_manifests.plan import Act, Step
from k8s_manifests.site import DEFAULT_TOKEN_ISSUER, Cluster, Site
from k8s_manifests.status import Finding, State, findings
from ttscache.cli import options
from ttscache.cli.durations import Duration
from ttscache.cli.exits import EXIT_INVALID, EXIT_UNAVAILABLE

_WAIT = "10m"
_EXIT = {State.OK: 0, State.DEGRADED: 0, State.NOT_READY: EXIT_UNAVAILABLE, State.NO_CREDENTIAL: EXIT_INVALID}
_SIGNS = {State.OK: "ok", State.DEGRADED: "worn", State.NOT_READY: "BAD", State.NO_CREDENTIAL: "BAD"}

_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="site.yaml")
_some = click.option("--cluster", "names", multiple=True, help="This cluster only; may be given several times.")
_charts = click.option(
    "--charts",
    type=click.Path(file_okay=False, path_type=Path),
    help="The charts' directory.  [env var: TTSCACHE_CHARTS]",
)
_helm = click.option("--helm", default="helm", envvar="HELM", show_envvar=True, help="The program.")


@click.group("site")
def command() -> None:
    """Plan, bring up, look at and take down the stateless site of a site file.

    A site file says what the site is: docs/site.md. What it needs of Helm and the cluster stands there too.
    """


@command.command("init")
@click.option("--name", prompt="The site's name in the pool", help="Such as T3_IT_Opportunistic.")
@click.option(
    "--community", prompt="Its community", type=click.Choice(initial.communities()), default="cms", show_default=True
)
@click.option("--client-id", prompt="The daemon's client at the community's IAM", help="Its OAuth client.")
@click.option("--origin", "origins", multiple=True, help="A cache's origin, root://HOST:PORT; one for each cache.")
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="How many worker nodes.")
@click.option(
    "--cluster", "contexts", multiple=True, help="A cluster's context in the kubeconfig; default: the current."
)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@_file
def init(*, file: Path, force: bool, **said: Any) -> None:  # noqa: ANN401 - click's
    """Write a site file. Asks for what is not said by options."""
    if file.exists() and not force:
        raise click.UsageError(f"{file} is there already; --force overwrites it")
    text = initial.site_file(**said)
    file.write_text(text)
    load(file)
    click.echo(f"{file}: written. The Secrets that it names must be there: docs/site.md says how they are made.")
    click.echo(f"next: ttscache site plan {file}")


@command.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of site files."""
    options.show_json(schema())


@command.command("plan")
@_file
@_some
@_charts
@_helm
def plan(file: Path, names: tuple[str, ...], charts: Path | None, helm: str) -> None:
    """Show what `apply` would change, field by field. Nothing is changed."""
    for there in _deployments(file, names, charts, helm):
        steps = _applying(there, 0.0).plan()
        for step in steps:
            _show_step(step)
        _show_sum(steps)


@command.command("render")
@_file
@_some
@_charts
@_helm
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory.")
@click.option("--kube-version", default="1.33.0", show_default=True, help="The clusters' version.")
def render(file: Path, names: tuple[str, ...], charts: Path | None, helm: str, output: Path, kube_version: str) -> None:
    """Write the manifests into a directory, one for each cluster. No cluster is asked."""
    site, tools = load(file), _tools(charts, helm)
    for cluster in _chosen(site, names):
        issuer = cluster.token_issuer or DEFAULT_TOKEN_ISSUER
        objects = objects_of(site, cluster, tools, Target(kube_version), issuer)
        directory = output / cluster.name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "site.yaml").write_text(yaml.safe_dump_all(map(dict, objects), sort_keys=False))
        click.echo(f"{directory / 'site.yaml'}: {len(objects)} objects")


@command.command("apply")
@_file
@_some
@_charts
@_helm
@click.option(
    "--wait", type=Duration(), default=_WAIT, show_default=True, help="How long each workload may take to be ready."
)
def apply(file: Path, names: tuple[str, ...], charts: Path | None, helm: str, wait: int) -> None:
    """Bring the clusters to what the site file says, in order, and wait for each part.

    What is as it should be is left alone. When it breaks off, run it again: it goes on.
    """
    for there in _deployments(file, names, charts, helm):
        applying = _applying(there, wait)
        try:
            changed = applying.run()
        except (SiteError, KeyboardInterrupt):
            click.echo(f"broken off after {len(applying.done)} changes; run it again to go on", err=True)
            raise
        click.echo(f"{len(applying.done)} changes; everything is ready" if changed else "nothing to change")


@command.command("status")
@_file
@_some
@options.output_format
def status(file: Path, names: tuple[str, ...], output_format: str) -> int:
    """Show how each workload, credential, cache and cvmfs mount is.

    Exit status: 0 all is well; 4 something is not ready; 5 a credential is missing or has ended.
    """
    site, worst, told = load(file), State.OK, []
    for cluster in _chosen(site, names):
        with Api(cluster.kubeconfig, cluster.context) as api:
            if output_format == "text":
                click.echo(f"cluster {cluster.name} ({api.server}), namespace {cluster.namespace}")
            for finding in findings(api, cluster.namespace, datetime.now(UTC)):
                worst = max(worst, finding.state)
                told.append(_described(cluster, finding))
                if output_format == "text":
                    _show_finding(finding)
    if output_format == "json":
        options.show_json({"site": site.name, "state": worst.name.lower(), "findings": told})
    return _EXIT[worst]


@command.command("destroy")
@_file
@_some
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--with-data", is_flag=True, help="Volumes and the keys that the site made, too.")
def destroy(file: Path, names: tuple[str, ...], *, yes: bool, with_data: bool) -> None:
    """Take the site down: delete what `apply` has applied. Asks for the site's name."""
    site = load(file)
    for cluster in _chosen(site, names):
        with Api(cluster.kubeconfig, cluster.context) as api:
            doomed = destroying.doomed(api, cluster.namespace, data=with_data)
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
    return Applying(there.api, there.cluster.namespace, there.objects, options.show, wait)


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
