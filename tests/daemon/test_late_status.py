"""The network-status of static pods whose mirror pod comes after them."""

from __future__ import annotations

import json
from typing import Any

from multinet.daemon.pods import POD_ANNOTATIONS

Site = Any
STATIC = {"kubernetes.io/config.source": "file"}


def add(site: Site, container: str = "c1", **annotations: str) -> None:
    """An ADD by annotations that the runtime hands over."""
    given = {"runtimeConfig": {POD_ANNOTATIONS: annotations}}
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=early;K8S_POD_UID=kubelets-own"
    site.ok("ADD", container, site.lab.sandbox(), conf=given, CNI_ARGS=args)


def status_file(site: Site) -> Any:
    return site.manifests / ".status" / "default" / "early.json"


def test_written_once_the_mirror_is_there(site: Site) -> None:
    add(site, **STATIC)
    site.app.handler.publish_late()
    assert not status_file(site).exists()
    site.pod("early", uid="the-mirrors-own", **STATIC)
    site.app.handler.publish_late()
    assert [one["interface"] for one in json.loads(site.status("early"))] == ["eth0"]
    status_file(site).unlink()
    site.app.handler.publish_late()  # once
    assert not status_file(site).exists()
    site.ok("DEL")


def test_not_for_a_container_that_is_gone(site: Site) -> None:
    add(site, **STATIC)
    site.ok("DEL")
    site.pod("early", uid="the-mirrors-own", **STATIC)
    site.app.handler.publish_late()
    assert not status_file(site).exists()


def test_not_for_a_pod_that_was_deleted(site: Site) -> None:
    """Whoever has its name later is another one."""
    add(site)
    site.pod("early", uid="another")
    site.app.handler.publish_late()
    assert not status_file(site).exists()
    site.ok("DEL")


def test_not_to_a_pod_that_is_no_mirror(site: Site) -> None:
    add(site, **STATIC)
    site.pod("early", uid="another")
    site.app.handler.publish_late()
    assert not status_file(site).exists()
    site.pod("early", uid="the-mirrors-own", **STATIC)
    site.app.handler.publish_late()
    assert status_file(site).exists()
    site.ok("DEL")
