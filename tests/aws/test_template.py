"""The resources of deploy/aws/template.yaml, checked by the linter and created in the emulator."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # publishes no types

from tests.aws.emulator import AWS, TEMPLATE, Deployed, Emulator, deploy, running_emulator
from tests.deploy.tools import deploy_tool

pytestmark = pytest.mark.integration


def build(target: Path) -> Path:
    subprocess.run([sys.executable, str(AWS / "build_function.py"), str(target)], check=True)
    return target


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("aws")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def deployed(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return deploy(emulator, code=build(tmp_path_factory.mktemp("code") / "function.zip"))


def test_the_linter_finds_nothing() -> None:
    found = subprocess.run(
        [str(deploy_tool("cfn-lint")), "--regions", "us-east-1", "eu-central-1", "--", str(TEMPLATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_the_same_sources_make_the_same_zip(tmp_path: Path) -> None:
    first, second = build(tmp_path / "1.zip"), build(tmp_path / "2.zip")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as packed:
        names = packed.namelist()
        assert packed.testzip() is None
    assert names == sorted(names)
    assert {
        "metadata_function/handler.py",
        "kappi_media/domain/object_tags.py",
        "kappi_mediameta/probing/probe.py",
    } <= {*names}
    assert not [name for name in names if "models" in name or "settings" in name or not name.endswith(".py")]


def test_the_zip_imports_only_its_own_modules_and_botocore(tmp_path: Path) -> None:
    zipped = build(tmp_path / "function.zip")
    program = (
        f"import sys; sys.path.insert(0, {str(zipped)!r});"
        "import kappi_media.domain.object_tags, kappi_media.domain.store_events, kappi_mediameta.probing;"
        "assert kappi_media.__file__.startswith(sys.path[0]), kappi_media.__file__;"
        "import metadata_function.webhook, metadata_function.log"
    )
    # Without site-packages.
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)


def test_the_bucket_is_encrypted_versioned_and_private(emulator: Emulator, deployed: Deployed) -> None:
    s3, bucket = emulator.client("s3"), deployed.bucket
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    assert '"aws:SecureTransport"' in policy
    assert '"s3:TlsVersion"' in policy
    (owner,) = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert owner["ObjectOwnership"] == "BucketOwnerEnforced"


def test_the_bucket_deletes_abandoned_uploads_and_old_versions(
    emulator: Emulator, deployed: Deployed
) -> None:
    """The emulator's CloudFormation ignores lifecycle rules, so the rules are set through its S3."""
    lifecycle = _template()["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]
    rules = {rule["Id"]: rule for rule in lifecycle["Rules"]}
    assert {rule["Status"] for rule in rules.values()} == {"Enabled"}
    unfinished = rules["abort-unfinished-uploads"]["AbortIncompleteMultipartUpload"]
    assert unfinished == {"DaysAfterInitiation": "AbortMultipartAfterDays"}
    old = rules["expire-noncurrent-versions"]["NoncurrentVersionExpiration"]
    assert old == {"NoncurrentDays": "ExpireNoncurrentAfterDays"}
    emulator.client("s3").put_bucket_lifecycle_configuration(
        Bucket=deployed.bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "1",
                    "Filter": {},
                    "Status": "Enabled",
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 8},
                },
                {
                    "ID": "2",
                    "Filter": {},
                    "Status": "Enabled",
                    "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
                },
                {
                    "ID": "3",
                    "Filter": {},
                    "Status": "Enabled",
                    "Expiration": {
                        "ExpiredObjectDeleteMarker": rules["remove-lone-delete-markers"][
                            "ExpiredObjectDeleteMarker"
                        ]
                    },
                },
            ]
        },
    )


def test_a_web_page_may_send_parts_and_see_their_etags(emulator: Emulator, deployed: Deployed) -> None:
    (rule,) = emulator.client("s3").get_bucket_cors(Bucket=deployed.bucket)["CORSRules"]
    assert set(rule["AllowedMethods"]) == {"GET", "HEAD", "PUT"}
    assert "ETag" in rule["ExposeHeaders"]


def test_only_originals_call_the_function(emulator: Emulator, deployed: Deployed) -> None:
    found = emulator.client("s3").get_bucket_notification_configuration(Bucket=deployed.bucket)
    (notification,) = found["LambdaFunctionConfigurations"]
    assert notification["LambdaFunctionArn"] == deployed.outputs["FunctionArn"]
    assert notification["Events"] == ["s3:ObjectCreated:*"]
    rules = {rule["Name"].lower(): rule["Value"] for rule in notification["Filter"]["Key"]["FilterRules"]}
    assert rules == {"prefix": "galleries/", "suffix": "/original"}


def test_the_function_has_only_the_rights_that_it_needs(emulator: Emulator, deployed: Deployed) -> None:
    policy = emulator.client("iam").get_role_policy(
        RoleName=deployed.resources["FunctionRole"], PolicyName="originals"
    )["PolicyDocument"]
    allowed = {
        (action, resource)
        for statement in policy["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        for resource in [statement["Resource"]]
    }
    originals = f"arn:aws:s3:::{deployed.bucket}/galleries/*/original"
    assert {action for action, resource in allowed if resource == originals} == {
        "s3:GetObject",
        "s3:GetObjectTagging",
        "s3:PutObjectTagging",
    }
    # With this right S3 answers that a missing object is missing, instead of forbidden.
    bucket = originals.partition("/")[0]
    assert {action for action, resource in allowed if resource == bucket} == {"s3:ListBucket"}
    others = {action for action, resource in allowed if resource not in (originals, bucket)}
    assert others == {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"}, (
        "it may not call other services"
    )
    assert "*" not in {resource for _, resource in allowed}


def test_failed_events_are_retried_and_kept_and_logs_expire(emulator: Emulator, deployed: Deployed) -> None:
    retries = emulator.client("lambda").get_function_event_invoke_config(
        FunctionName=deployed.outputs["FunctionArn"], Qualifier="$LATEST"
    )
    assert retries["MaximumRetryAttempts"] == 2
    assert retries["DestinationConfig"]["OnFailure"]["Destination"].endswith("-failed-events")
    (log,) = emulator.client("logs").describe_log_groups(
        logGroupNamePrefix=deployed.resources["FunctionLog"]
    )["logGroups"]
    assert log["retentionInDays"] == 30


def _template() -> dict[str, Any]:
    """Returns the template with `!Ref name` as the name, and other functions as their arguments."""
    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("!", _given)
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text(), Loader=loader)
    return found


def _given(loader: Any, _suffix: str, node: Any) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)
