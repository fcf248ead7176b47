"""deploy/kubernetes against the schemas of Kubernetes, and against our own rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.config import Settings, load_settings
from tests.harness import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
NOT_APPLIED = {"kustomization.yaml", "secret.example.yaml", "ingress.yaml"}
VERSIONS = ("1.30", "1.37")
"""The oldest version that has every field we use, and the newest that the schemas know."""


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != "kustomization.yaml":
            yield from ((path.name, document) for document in yaml.safe_load_all(path.read_text()))


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {
        document["metadata"]["name"]: document
        for _, document in documents()
        if document["kind"] == kind
    }


PODS = {
    name: document["spec"]["template"]
    for kind in ("Deployment", "Job")
    for name, document in named(kind).items()
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_is_valid_for_kubernetes(version: str) -> None:
    wrong = []
    for file, document in documents():
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            wrong.append(
                f"{file}, {document['kind']} {document['metadata']['name']}: {list(error.path)}:"
                f" {error.message}"
            )
    assert not wrong


def test_all_manifests_are_applied_except_placeholders() -> None:
    resources = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {*resources, *NOT_APPLIED} == {path.name for path in FOLDER.glob("*.yaml")}
    assert not [file for file, document in documents() if "namespace" in document["metadata"]]


@pytest.mark.parametrize("name", PODS)
def test_pods_have_no_privileges(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (uid,) = re.findall(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert pod["securityContext"]["runAsUser"] == int(uid), "the user of the image"
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert {"memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert all(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"])


def test_services_have_probes_and_time_to_shut_down() -> None:
    for name, deployment in named("Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        ports = {port["name"] for port in container["ports"]}
        for probe, path in (
            ("startupProbe", "/health"),
            ("livenessProbe", "/health"),
            ("readinessProbe", "/ready"),
        ):
            assert container[probe]["httpGet"]["path"] == path, name
            assert container[probe]["httpGet"]["port"] in ports, name
        assert pod["terminationGracePeriodSeconds"] >= 120
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels
        assert named("PodDisruptionBudget")[name]["spec"]["selector"]["matchLabels"] == labels


def test_the_commands_equal_those_of_docker_compose() -> None:
    """The commands, which are checked against the command line."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, deployment in named("Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        compose = services[name.replace("granula-", "scale-")]["command"]
        assert container["command"] == [
            word.replace("${WORKER_CONCURRENCY:-4}", "4") for word in compose
        ]


def test_referenced_objects_exist() -> None:
    given = named("ConfigMap").keys() | named("Secret").keys()
    for pod in PODS.values():
        for container in pod["spec"]["containers"]:
            wanted = {next(iter(source.values()))["name"] for source in container["envFrom"]}
            assert wanted <= given
    for service in named("Service").values():
        (deployment,) = (
            d for d in named("Deployment").values() if _selects(service["spec"]["selector"], d)
        )
        ports = {
            port["name"]
            for port in deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
        }
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for scaler in named("HorizontalPodAutoscaler").values():
        scaled = named("Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in scaled["spec"], "each apply would undo what the autoscaler did"
    for ingress in named("Ingress").values():
        (rule,) = ingress["spec"]["rules"]
        assert rule["http"]["paths"][0]["backend"]["service"]["name"] in named("Service")


def test_variables_are_settings_and_secrets_stay_out_of_the_config_map() -> None:
    (settings,) = named("ConfigMap").values()
    (secret,) = named("Secret").values()
    assert {name.lower() for name in (*settings["data"], *secret["stringData"])} <= set(
        Settings.model_fields
    )
    assert not {"DATABASE_URL", "KEY", "SECRET", "OPENAI_API_KEY"} & settings["data"].keys()
    assert "CHANGE_ME" in (FOLDER / "secret.example.yaml").read_text()
    both = settings["data"] | secret["stringData"]
    load_settings(_env_file=None, **{name.lower(): value for name, value in both.items()})


def _selects(selector: dict[str, str], deployment: dict[str, Any]) -> bool:
    labels: dict[str, str] = deployment["spec"]["template"]["metadata"]["labels"]
    return selector.items() <= labels.items()


def test_the_autoscaler_and_the_adapter_name_the_same_metric() -> None:
    (scaler,) = named("HorizontalPodAutoscaler").values()
    values = yaml.safe_load(
        Path(ROOT / "deploy" / "prometheus" / "adapter-values.yaml").read_text()
    )
    (metric,) = scaler["spec"]["metrics"]
    (rule,) = values["rules"]["external"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    assert f'__name__="{rule["name"]["as"]}"' in rule["seriesQuery"]
