"""The overlays against Kubernetes' schemas, and against the settings, ports and needs of the services."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kappi_chassis.auth import SigningKey
from kappi_chassis.runtime import STOP_TIMEOUT
from kappi_chassis.settings import ALL_ROLES, PlatformSettings
from kappi_chassis.storage.settings import StorageSettings
from kappi_contracts.kafka_access import USERS, username
from kappi_gateway.settings import GatewaySettings
from kappi_identity.domain.webhook_targets import REFUSED_V4, REFUSED_V6
from kappi_identity.settings import IdentitySettings

from tests.deploy.known_settings import SERVICES, STORING, WITH_DATABASE, known, read, stray, variables
from tests.deploy.kustomized import K8S, OVERLAYS, Overlay, Pod, build, selects
from tests.deploy.network import may_call, may_enter, may_leave, may_reach
from tests.deploy.tools import deploy_tool

# Resources of operators have no schema here.
_OF_OPERATORS = {
    "Cluster",
    "HTTPRoute",
    "Kafka",
    "KafkaNodePool",
    "KafkaTopic",
    "KafkaUser",
    "ObjectStore",
    "PodMonitor",
    "PrometheusRule",
    "ScaledObject",
    "ScheduledBackup",
    "TriggerAuthentication",
}
_HEADLESS = {"janitor"}  # no HTTP interface


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Overlay:
    return build(request.param)


class TestSchemas:
    def test_resources_are_valid(self, overlay: Overlay, tmp_path: Path) -> None:
        path = tmp_path / "all.yaml"
        path.write_text(overlay.text)
        done = subprocess.run(
            [deploy_tool("kubernetes-validate"), "--strict", path],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        unknown = set(re.findall(r"find schema for kind (\w+)", done.stdout + done.stderr))
        assert unknown <= _OF_OPERATORS

    def test_a_misspelt_field_would_be_found(self, overlay: Overlay, tmp_path: Path) -> None:
        path = tmp_path / "all.yaml"
        path.write_text(overlay.text.replace("terminationGracePeriodSeconds", "terminationGraceSeconds"))
        done = subprocess.run(
            [deploy_tool("kubernetes-validate"), "--strict", path], capture_output=True, check=False
        )
        assert done.returncode != 0


class TestEnvironment:
    def test_every_variable_of_a_service_is_read(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            assert not stray(overlay.environment(pod.container), known(pod.service)), pod.owner

    def test_every_required_variable_of_a_service_is_set(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            settings = read(pod.service, overlay.environment(pod.container))
            assert settings.host == "0.0.0.0", pod.owner

    def test_a_service_has_no_secrets_of_others(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            names = set(overlay.environment(pod.container))
            others = tuple(f"KAPPI_{name.upper()}_" for name in SERVICES if name != pod.service)
            assert not {name for name in names if name.startswith(others)}, pod.owner
            if pod.service not in STORING:
                assert not names & variables(StorageSettings), pod.owner

    def test_jobs_have_only_the_variables_they_need(self, overlay: Overlay) -> None:
        for pod in overlay.kappi_pods():
            environment = overlay.environment(pod.container)
            match list(pod.container["args"]):
                case ["migrate", service]:
                    assert set(environment) == {f"KAPPI_{service.upper()}_DATABASE_URL"}
                case ["create-topics"] | ["kappi", "tick", "--no-wait"]:
                    assert not stray(environment, variables(PlatformSettings)), pod.owner
                    assert "KAPPI_KAFKA_BOOTSTRAP" in environment
                case ["create-bucket"]:
                    assert not stray(environment, variables(StorageSettings)), pod.owner
                case [service]:
                    assert service == pod.service
                case other:
                    pytest.fail(f"{pod.owner} is called as the image cannot be: {other}")

    def test_kubernetes_adds_no_variables(self, overlay: Overlay) -> None:
        # A Service named media would add MEDIA_PORT=tcp://… to every environment, and KAFKA_PORT stops Kafka.
        for pod in overlay.pods():
            assert pod.spec["enableServiceLinks"] is False, pod.owner

    def test_make_secrets_prints_exactly_the_referenced_secrets(self, overlay: Overlay) -> None:
        asked = set(
            re.findall(r"(?:secretRef|secretKeyRef):\n(?:\s+key: \S+\n)?\s+name: (\S+)", overlay.text)
        )
        if overlay.name == "aws":
            asked.remove("store")  # the pods' role replaces the store's keys
        asked |= set(re.findall(r"secretName: (\S+)", overlay.text))
        made_by_operators = {"kappi-cluster-ca-cert", "kappi-tls"}
        assert asked - made_by_operators <= set(overlay.secrets)
        if overlay.name == "dev":
            assert set(overlay.secrets) - {username(user) for user in USERS} == asked
        assert SigningKey.from_pem(overlay.secrets["galleries"]["KAPPI_GALLERIES_GRANT_KEY"]).kid

    def test_make_secrets_uses_given_values(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KAPPI_MEDIA_STORE_EVENTS_TOKEN", "as-the-function-has-it")
        assert build("aws").secrets["media"]["KAPPI_MEDIA_STORE_EVENTS_TOKEN"] == "as-the-function-has-it"
        monkeypatch.setenv("KAPPI_MEDIA_STORE_EVENTS_TOKEN", "")  # a command that failed
        with pytest.raises(subprocess.CalledProcessError):
            build("aws")

    def test_a_mail_server_may_require_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        password = r"BD'+/:#=\n\c\t"
        monkeypatch.setenv("KAPPI_IDENTITY_SMTP_USERNAME", "AKIAEXAMPLE")
        monkeypatch.setenv("KAPPI_IDENTITY_SMTP_PASSWORD", password)
        overlay = build("aws")
        mailing = [pod for pod in overlay.services() if pod.service == "identity"]
        assert len(mailing) == 2
        for pod in mailing:
            settings = read("identity", overlay.environment(pod.container))
            assert isinstance(settings, IdentitySettings)
            assert settings.smtp_password is not None
            assert (settings.smtp_username, settings.smtp_password.get_secret_value()) == (
                "AKIAEXAMPLE",
                password,
            )


class TestRoles:
    def test_the_pods_of_a_service_have_all_roles_together(self, overlay: Overlay) -> None:
        for service in SERVICES:
            roles = [
                read(service, overlay.environment(pod.container)).roles
                for pod in overlay.services()
                if pod.service == service
            ]
            wanted = ALL_ROLES - {"api"} if service in _HEADLESS else ALL_ROLES
            assert frozenset().union(*roles) == wanted, service

    def test_a_pod_has_the_role_that_its_label_names(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            if pod.service == "gateway":
                continue
            assert pod.component in read(pod.service, overlay.environment(pod.container)).roles

    def test_every_schema_is_migrated_before_its_service_starts(self, overlay: Overlay) -> None:
        migrated = {
            pod.container["args"][1] for pod in overlay.kappi_pods() if pod.container["args"][0] == "migrate"
        }
        assert migrated == WITH_DATABASE
        for pod in overlay.services():
            if pod.service in WITH_DATABASE:
                [waiting] = pod.spec["initContainers"]
                assert waiting["args"] == ["await-schema", pod.service]
                assert set(overlay.environment(waiting)) == {f"KAPPI_{pod.service.upper()}_DATABASE_URL"}

    def test_topics_are_declared_once(self, overlay: Overlay) -> None:
        by_job = "topics" in overlay.of_kind("Job")
        by_strimzi = bool(overlay.of_kind("KafkaTopic"))
        assert by_job != by_strimzi
        assert (
            overlay.config_map("bus" if "bus" in overlay.of_kind("ConfigMap") else _bus(overlay))[
                "KAPPI_KAFKA_CREATE_TOPICS"
            ]
            == "false"
        )


class TestPorts:
    def test_pods_listen_where_services_do(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            settings = read(pod.service, overlay.environment(pod.container))
            ports = {each["name"]: each["containerPort"] for each in pod.container["ports"]}
            assert ports["ops"] == settings.ops_port, pod.owner
            assert ports.get("http") == (settings.port if pod.component == "api" else None), pod.owner
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert pod.container[probe]["httpGet"]["port"] == "ops"
            assert pod.container["readinessProbe"]["httpGet"]["path"] == "/readyz"
            assert pod.container["livenessProbe"]["httpGet"]["path"] == "/healthz"

    def test_every_internal_address_leads_to_a_pod_that_may_be_called(self, overlay: Overlay) -> None:
        called = 0
        for pod in overlay.services():
            for name, value in overlay.environment(pod.container).items():
                if not name.endswith("_URL") or not value.startswith("http://") or "localhost" in value:
                    continue
                address = urlsplit(value)
                callee = _behind(overlay, str(address.hostname), address.port or 80)
                assert may_call(overlay, pod, callee, address.port or 80), (pod.owner, value)
                called += 1
        # Three calls of the gateway; galleries' keys and media in both of its pods; media's two key sets and
        # galleries in each of its pods; the janitor's two comparisons.
        assert called == 3 + 2 * 2 + 3 * 3 + 2

    def test_the_dev_store_may_notify_media_of_uploads(self) -> None:
        overlay = build("dev")
        [store] = [pod for pod in overlay.pods() if pod.owner == "StatefulSet/seaweedfs"]
        media = _behind(overlay, "media", 8003)
        assert may_call(overlay, store, media, 8003)
        told = overlay.secrets["seaweedfs"]["notification.toml"]
        assert "http://media:8003/internal/store-events" in told
        assert overlay.secrets["media"]["KAPPI_MEDIA_STORE_EVENTS_TOKEN"] in told

    def test_the_aws_function_may_notify_media_at_an_internal_address(self) -> None:
        overlay = build("aws")
        service = overlay.of_kind("Service")["store-events"]
        assert service["spec"]["type"] == "LoadBalancer"
        annotations = service["metadata"]["annotations"]
        assert annotations["service.beta.kubernetes.io/aws-load-balancer-scheme"] == "internal"
        media = _behind(overlay, "store-events", 443)
        [network] = service["spec"]["loadBalancerSourceRanges"]
        inside = str(ip_network(network)[1])
        assert may_enter(overlay, media, address=inside, port=8003)
        assert not may_enter(overlay, media, address="203.0.113.7", port=8003)
        assert not may_enter(overlay, media, address=inside, port=9003)

    def test_servers_can_be_reached(self, overlay: Overlay) -> None:
        for pod in overlay.kappi_pods():
            environment = overlay.environment(pod.container)
            if bootstrap := environment.get("KAPPI_KAFKA_BOOTSTRAP"):
                for broker in bootstrap.split(","):
                    assert may_leave(overlay, pod, int(broker.rpartition(":")[2])), pod.owner
            if any(name.endswith("_DATABASE_URL") for name in environment):
                assert may_leave(overlay, pod, 5432), pod.owner
            if "KAPPI_S3_BUCKET" in environment:
                endpoint = urlsplit(environment.get("KAPPI_S3_ENDPOINT", "https://s3.amazonaws.com"))
                assert may_leave(overlay, pod, endpoint.port or 443), pod.owner
            if "KAPPI_IDENTITY_SMTP_HOST" in environment:
                assert may_leave(overlay, pod, 587), pod.owner
        scanning = [pod.owner for pod in overlay.kappi_pods() if may_leave(overlay, pod, 3310)]
        assert scanning == ["Deployment/media-worker"], "clamd, with KAPPI_MEDIA_CLAMD_ADDRESS"

    def test_policies_also_forbid(self, overlay: Overlay) -> None:
        by_name = {pod.owner: pod for pod in overlay.services()}
        gateway, media, identity = (
            by_name[f"Deployment/{name}"] for name in ("gateway", "media-api", "identity-api")
        )
        assert not may_call(overlay, identity, media, 8003)
        assert not may_call(overlay, media, gateway, 8000)
        assert not may_call(overlay, gateway, media, 9003)
        assert not may_leave(overlay, gateway, 5432)
        assert not may_leave(overlay, identity, 443)

    def test_only_the_worker_calls_webhooks_and_at_public_addresses_alone(self, overlay: Overlay) -> None:
        by_name = {pod.owner: pod for pod in overlay.services()}
        worker, api = by_name["Deployment/identity-worker"], by_name["Deployment/identity-api"]
        for address in ("93.184.216.34", "2606:4700::1111"):
            assert may_reach(overlay, worker, address=address, port=443)
            assert not may_reach(overlay, worker, address=address, port=80)
            assert not may_reach(overlay, api, address=address, port=443)
        refused = [str(network[-1]) for network in REFUSED_V4] + [str(network[-1]) for network in REFUSED_V6]
        for address in (*refused, "169.254.169.254", "fd00:ec2::254", "::ffff:10.0.0.1"):
            assert not may_reach(overlay, worker, address=address, port=443), address

    def test_only_the_proxy_in_front_reaches_the_gateway(self, overlay: Overlay) -> None:
        """A caller at a trusted address may set the client's address."""
        [gateway] = [pod for pod in overlay.services() if pod.service == "gateway"]
        trusted = _gateway(overlay).trusted_proxies
        stranger = replace(gateway, owner="stranger", labels={"app": "anything"})
        ports = gateway.container["ports"]
        for port in (each["containerPort"] for each in ports):
            assert not any(may_call(overlay, pod, gateway, port) for pod in (*overlay.pods(), stranger))
            assert not may_enter(overlay, gateway, address="10.0.7.7", port=port)
        rules = [
            rule
            for policy in overlay.of_kind("NetworkPolicy").values()
            if selects(policy["spec"]["podSelector"], gateway.labels)
            for rule in policy["spec"].get("ingress", ())
            if {"port": "http"} in rule["ports"]
        ]
        if overlay.name == "dev":
            assert (rules, trusted) == ([], ())  # `kubectl port-forward` needs no rule
            return
        [rule] = rules
        assert trusted
        assert all(network.num_addresses <= 256 for network in trusted)
        if overlay.name == "production":
            [peer] = rule["from"]
            assert peer["namespaceSelector"]["matchLabels"]
            assert peer["podSelector"]["matchLabels"]
        else:
            assert {ip_network(peer["ipBlock"]["cidr"]) for peer in rule["from"]} == set(trusted)


class TestTimeouts:
    """A proxy in front must wait as long as the gateway lets an answer pause."""

    def test_nginx(self) -> None:
        overlay = build("production")
        annotations = overlay.of_kind("Ingress")["gateway"]["metadata"]["annotations"]
        read_timeout = timedelta(seconds=int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]))
        assert read_timeout > _gateway(overlay).archive_silence

    def test_the_load_balancer_of_aws(self) -> None:
        overlay = build("aws")
        annotations = overlay.of_kind("Ingress")["gateway"]["metadata"]["annotations"]
        name, _, value = annotations["alb.ingress.kubernetes.io/load-balancer-attributes"].partition("=")
        assert name == "idle_timeout.timeout_seconds"
        idle, gateway = timedelta(seconds=int(value)), _gateway(overlay)
        assert idle > max(gateway.archive_silence, gateway.client_silence)
        # Otherwise it sends requests on connections that the gateway is closing, which gives a 502.
        assert gateway.keep_alive > idle


class TestLife:
    def test_there_is_time_to_drain(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            settings = read(pod.service, overlay.environment(pod.container))
            longest = settings.drain_delay + settings.drain_timeout + STOP_TIMEOUT
            assert timedelta(seconds=pod.spec["terminationGracePeriodSeconds"]) > longest, pod.owner

    def test_an_api_serves_until_its_address_is_removed_everywhere(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            if pod.component == "api":
                settings = read(pod.service, overlay.environment(pod.container))
                assert settings.drain_delay >= timedelta(seconds=5), pod.owner

    def test_pods_have_few_rights(self, overlay: Overlay) -> None:
        # The namespace enforces the restricted standard; Kappi's pods also have a read-only root.
        for pod in overlay.pods():
            spec = pod.spec
            assert spec["automountServiceAccountToken"] is False
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in (*spec["containers"], *spec.get("initContainers", ())):
                confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
                if pod.runs_kappi:
                    confined["readOnlyRootFilesystem"] = True
                assert container["securityContext"] == confined, pod.owner
                assert container["resources"]["requests"].keys() == {"cpu", "memory"}
                assert "memory" in container["resources"]["limits"]

    def test_pods_of_strimzi_have_few_rights(self) -> None:
        # By default its pods violate the standard of the namespace.
        overlay = build("production")
        [entity_operator] = [each["spec"]["entityOperator"] for each in overlay.of_kind("Kafka").values()]
        templates = [each["spec"]["template"] for each in overlay.of_kind("KafkaNodePool").values()]
        containers = [each["kafkaContainer"] for each in templates]
        containers += [
            entity_operator["template"][f"{name}Container"] for name in ("topicOperator", "userOperator")
        ]
        assert [each["securityContext"] for each in containers] == 4 * [
            {
                "runAsNonRoot": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }
        ]
        # A security context of the pod would replace Strimzi's, by which a broker may write to its volume.
        assert not [each for each in (*templates, entity_operator["template"]) if "pod" in each]

    def test_only_pods_that_use_the_store_have_the_large_image(self, overlay: Overlay) -> None:
        tags = set()
        for pod in overlay.kappi_pods():
            uses_store = "KAPPI_S3_BUCKET" in overlay.environment(pod.container)
            for container in (*pod.spec["containers"], *pod.spec.get("initContainers", ())):
                name, _, tag = container["image"].rpartition("/")[2].partition(":")
                assert name == ("kappi" if uses_store else "kappi-slim"), pod.owner
                tags.add(tag)
        assert len(tags) == 1
        assert "" not in tags

    def test_service_accounts_exist(self, overlay: Overlay) -> None:
        for pod in overlay.services():
            assert pod.spec["serviceAccountName"] == pod.service
            assert pod.service in overlay.of_kind("ServiceAccount")


class TestScale:
    def test_scaled_deployments_exist_and_have_one_autoscaler(self, overlay: Overlay) -> None:
        deployments = overlay.of_kind("Deployment")
        by_cpu = {
            each["spec"]["scaleTargetRef"]["name"]
            for each in overlay.of_kind("HorizontalPodAutoscaler").values()
        }
        by_lag = {each["spec"]["scaleTargetRef"]["name"] for each in overlay.of_kind("ScaledObject").values()}
        assert not by_cpu & by_lag
        assert by_cpu | by_lag <= set(deployments)
        assert not [name for name in by_cpu | by_lag if "replicas" in deployments[name]["spec"]]
        if overlay.name == "dev":
            assert not by_cpu | by_lag
        else:
            assert {
                "gateway",
                "identity-api",
                "galleries-api",
                "media-api",
                "media-worker",
            } <= by_cpu | by_lag

    def test_budgets_select_one_deployment_each(self, overlay: Overlay) -> None:
        budgets = overlay.of_kind("PodDisruptionBudget")
        assert set(budgets) == (set(overlay.of_kind("Deployment")) if overlay.name != "dev" else set())
        for name, each in budgets.items():
            selected = [
                pod.owner for pod in overlay.services() if selects(each["spec"]["selector"], pod.labels)
            ]
            assert selected == [f"Deployment/{name}"]

    def test_services_select_apis(self, overlay: Overlay) -> None:
        for name in set(SERVICES) - _HEADLESS:
            selector = {"matchLabels": overlay.of_kind("Service")[name]["spec"]["selector"]}
            selected = [pod for pod in overlay.kappi_pods() if selects(selector, pod.labels)]
            assert [(pod.service, pod.component) for pod in selected] == [(name, "api")]


def test_everything_is_in_one_namespace(overlay: Overlay) -> None:
    assert {each["metadata"].get("namespace", "kappi") for each in overlay.manifests} == {"kappi"}


def test_no_secret_is_in_git() -> None:
    for path in K8S.rglob("*.yaml"):
        assert "kind: Secret\n" not in path.read_text(), path


def _gateway(overlay: Overlay) -> GatewaySettings:
    [pod] = [pod for pod in overlay.services() if pod.service == "gateway"]
    settings = read("gateway", overlay.environment(pod.container))
    assert isinstance(settings, GatewaySettings)
    return settings


def _bus(overlay: Overlay) -> str:
    """Returns the generated config map, whose name ends with a hash of its content."""
    return next(name for name in overlay.of_kind("ConfigMap") if name.startswith("bus-"))


def _behind(overlay: Overlay, host: str, port: int) -> Pod:
    service = overlay.of_kind("Service")[host]
    assert [each["port"] for each in service["spec"]["ports"]] == [port]
    selector = {"matchLabels": service["spec"]["selector"]}
    [pod] = [pod for pod in overlay.pods() if selects(selector, pod.labels)]
    return pod
