"""An emulator of AWS: MiniStack, which runs Lambda functions as separate processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from kappi_chassis.embedded.ports import LOOPBACK, free_port
from kappi_testkit.processes import ManagedProcess, answers_http

from tests.deploy.tools import deploy_tool

ROOT = Path(__file__).parents[2]
AWS = ROOT / "deploy" / "aws"
TEMPLATE = AWS / "template.yaml"
REGION = "us-east-1"
ACCESS_KEY, SECRET_KEY = "test", "test"


@dataclass(frozen=True, slots=True)
class Emulator:
    endpoint: str
    log: Path

    def client(self, service: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def settings(self, bucket: str) -> dict[str, str]:
        """Returns the settings by which Kappi uses a bucket of the emulator, see `StorageSettings`."""
        return {
            "KAPPI_S3_ENDPOINT": self.endpoint,
            "KAPPI_S3_BUCKET": bucket,
            "KAPPI_S3_REGION": REGION,
            "KAPPI_S3_ACCESS_KEY": ACCESS_KEY,
            "KAPPI_S3_SECRET_KEY": SECRET_KEY,
        }


@contextmanager
def running_emulator(folder: Path) -> Iterator[Emulator]:
    port = free_port()
    endpoint = f"http://{LOOPBACK}:{port}"
    process = ManagedProcess(
        [str(deploy_tool("ministack"))],
        log=folder / "ministack.log",
        ready=lambda: answers_http(f"{endpoint}/_ministack/health"),
        env={
            "GATEWAY_PORT": str(port),
            "BIND_HOST": LOOPBACK,
            "TMPDIR": str(folder),
            # The functions of the emulator find it as they would find AWS.
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "4",
        },
        cwd=folder,
        start_timeout_s=60,
    )
    with process:
        yield Emulator(endpoint, process.log)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployed stack of the template. outputs: by the names in the template."""

    emulator: Emulator
    bucket: str
    outputs: dict[str, str]
    resources: dict[str, str]

    def logged(self) -> list[dict[str, Any]]:
        """Returns the log lines of the function."""
        logs = self.emulator.client("logs")
        found = logs.filter_log_events(logGroupName=self.resources["FunctionLog"])
        lines = [line for event in found["events"] for line in event["message"].splitlines()]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def failed(self) -> list[dict[str, Any]]:
        """Returns the events that the function could not process."""
        queue = self.emulator.client("sqs")
        answer = queue.receive_message(
            QueueUrl=self.outputs["FailedEventsUrl"], MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


def deploy(emulator: Emulator, *, code: Path, **parameters: str) -> Deployed:
    """Deploys the template with a zip of the function. Raises WaiterError if the stack was rolled back."""
    name = f"kappi-{uuid.uuid4().hex[:8]}"
    s3, cloudformation = emulator.client("s3"), emulator.client("cloudformation")
    s3.create_bucket(Bucket=f"{name}-code")
    s3.upload_file(str(code), f"{name}-code", "function.zip")
    values = {
        "BucketName": f"{name}-media",
        "FunctionCodeBucket": f"{name}-code",
        "FunctionCodeKey": "function.zip",
        **parameters,
    }
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    return Deployed(
        emulator,
        values["BucketName"],
        {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]},
        {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources},
    )
