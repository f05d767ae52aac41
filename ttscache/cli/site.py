"""`ttscache site`: the stateless site from one file. Commands and their options; site_run.py does what they say."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import click

from k8s_manifests import initial
from k8s_manifests.loading import parse, schema
from ttscache.cli import options
from ttscache.cli.durations import Duration

_WAIT = "10m"

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
    parse(text.encode(), file)  # a name that no site can have is told before there is a file
    file.write_text(text)
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
    _run().plan(file, names, charts, helm)


@command.command("render")
@_file
@_some
@_charts
@_helm
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Directory.")
@click.option("--kube-version", default="1.33.0", show_default=True, help="The clusters' version.")
def render(file: Path, names: tuple[str, ...], charts: Path | None, helm: str, output: Path, kube_version: str) -> None:
    """Write the manifests into a directory, one for each cluster. No cluster is asked."""
    _run().render(file, names, charts, helm, output=output, kube_version=kube_version)


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
    _run().apply(file, names, charts, helm, wait=wait)


@command.command("status")
@_file
@_some
@options.output_format
def status(file: Path, names: tuple[str, ...], output_format: str) -> int:
    """Show how each workload, credential, cache and cvmfs mount is.

    Exit status: 0 all is well; 4 something is not ready; 5 a credential is missing or has ended.
    """
    return int(_run().status(file, names, as_json=output_format == "json"))


@command.command("destroy")
@_file
@_some
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--with-data", is_flag=True, help="Volumes and the keys that the site made, too.")
def destroy(file: Path, names: tuple[str, ...], *, yes: bool, with_data: bool) -> None:
    """Take the site down: delete what `apply` has applied. Asks for the site's name."""
    _run().destroy(file, names, yes=yes, with_data=with_data)


def _run() -> ModuleType:
    """Return what does the work; loading the client of Kubernetes takes a second, and it is an extra."""
    try:
        from ttscache.cli import site_run  # noqa: PLC0415 - as said
    except ModuleNotFoundError as error:
        raise click.UsageError(
            f"the Python package {error.name} is missing: pip install 'ttscache[kubernetes]'"
        ) from None
    return site_run
