"""A main plugin behind multinet is called exactly as the runtime itself calls it: environment, input, order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.daemon.conftest import Recorded
from tests.daemon.main_plugins import MAIN_PLUGINS, MainPlugin
from tests.runtime.worker import BIN_DIR, CONF_DIR, Worker, wait_for

Json = dict[str, Any]
LIMITS = {"kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "20M"}
PORTS = [{"host_port": 8080, "container_port": 80}]


def asked(worker: Worker, name: str) -> list[Json]:
    """What the plugins of a pod were asked from its start to its removal, in words that fit any pod."""
    pod = worker.start(name, ports=PORTS, annotations=LIMITS)
    calls, identity = worker.recorders.calls, (pod.id, pod.netns_path, pod.spec.uid, name)
    pod.stop()
    calls += worker.recorders.calls[
        len(calls) :
    ]  # the runtime's second DEL, at Remove, finds nothing of ours
    pod.remove()
    worker.recorders.clear()
    return [neutral(call, identity) for call in calls]


def neutral(call: Recorded, identity: tuple[str, str, str, str]) -> Json:
    """Without what differs between any two pods; ``CNI_ARGS`` as pairs."""
    text = json.dumps(
        {"env": {k: v for k, v in call.env.items() if k.startswith("CNI_")}, "stdin": call.conf}
    )
    for own, word in zip(identity, ("POD", "NETNS", "UID", "NAME"), strict=True):
        text = text.replace(own, word)
    found: Json = json.loads(text)
    args = dict(pair.split("=") for pair in found["env"].pop("CNI_ARGS").split(";"))
    args["IgnoreUnknown"] = {"1": "true"}.get(args["IgnoreUnknown"], args["IgnoreUnknown"])
    previous = found["stdin"].get("prevResult", {})
    if previous.get("dns") == {}:  # this runtime says it even where it is empty, later ones don't
        del previous["dns"]
    return {"plugin": call.plugin, "args": args, **found}


@pytest.mark.parametrize("main", MAIN_PLUGINS.values(), ids=MAIN_PLUGINS)
def test_as_the_runtime_calls_it(worker: Worker, main: MainPlugin) -> None:
    conf = main.as_executables()
    for plugin in conf["plugins"]:
        worker.recorders.make(plugin["type"], main.result)
    direct = f"{CONF_DIR}/00-direct.conflist"
    worker.node.write(direct, json.dumps(conf))
    wait_for(lambda: main.kind in worker.cni_config())
    by_the_runtime = asked(worker, "direct")
    worker.node.path(direct).unlink()

    file = f"{CONF_DIR}/{main.file_name}"
    worker.node.write(file, json.dumps(conf))
    worker.configure(clusterNetwork=file)
    wait_for(lambda: file in worker.cni_config())
    by_multinet = asked(worker, "behind")

    plugins = [plugin["type"] for plugin in conf["plugins"]]
    assert [call["plugin"] for call in by_multinet] == [*plugins, *reversed(plugins)]
    assert [call["env"]["CNI_PATH"] for call in by_multinet] == [BIN_DIR] * len(by_multinet)
    assert by_multinet == by_the_runtime
    worker.assert_clean()
