"""What answers like a Kubernetes cluster, as far as Snakemake's executor asks: each job is a local process.

There are no images: a pod is a shell in an empty folder, with the variables of its secrets and of the image.
"""

import base64
import json
import os
import re
import signal
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml


class Cluster:
    """A cluster on 127.0.0.1: `with Cluster(folder, environment) as cluster:`.

    folder: for the pods' folders and `kubeconfig`. environment: variables of the image. jobs: specifications of the
    jobs that were created, by name.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.secrets: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, dict] = {}
        self.pods: dict[str, subprocess.Popen] = {}
        cluster = self

        class Answer(_Answer):
            """Answers of this cluster."""

            state = cluster

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)

    def __enter__(self) -> "Cluster":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.folder.mkdir(parents=True, exist_ok=True)
        host, port = self._server.server_address
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for name in self.pods:
            self.kill(name)

    @property
    def kubeconfig(self) -> Path:
        """File that says where the cluster is."""
        return self.folder / "kubeconfig"

    def log(self, name: str) -> str:
        """What a job's pod said."""
        return (self.folder / name / "log").read_text(encoding="utf-8")

    def kill(self, name: str) -> None:
        """End all processes of a job's pod at once, as where its node is lost."""
        with suppress(ProcessLookupError):
            os.killpg(self.pods[name].pid, signal.SIGKILL)
        self.pods[name].wait()

    def create_job(self, body: dict) -> None:
        """Start the process of a job."""
        name, (container,) = body["metadata"]["name"], body["spec"]["template"]["spec"]["containers"]
        variables = dict(self.environment)
        for variable in container.get("env", []):
            reference = variable["valueFrom"]["secretKeyRef"]
            secret = self.secrets[reference["name"]][reference["key"]]
            variables[variable["name"]] = base64.b64decode(secret).decode()
        workdir = self.folder / name / "workdir"
        workdir.mkdir(parents=True)
        self.jobs[name] = body
        with open(self.folder / name / "log", "w", encoding="utf-8") as log:
            command = [*container["command"], *container["args"]]
            self.pods[name] = subprocess.Popen(
                command, cwd=workdir, env=variables, stdout=log, stderr=log, start_new_session=True
            )

    def status(self, name: str) -> dict:
        """Status of a job."""
        code = self.pods[name].poll()
        return {"active": 1} if code is None else {"succeeded": 1} if code == 0 else {"failed": 1}


class _Answer(BaseHTTPRequestHandler):
    state: Cluster

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/secrets"):
            self.state.secrets[body["metadata"]["name"]] = body["data"]
        elif self.path.endswith("/jobs"):
            self.state.create_job(body)
        self._send(body)

    def do_GET(self) -> None:
        if found := re.search(r"/jobs/([^/]+)/status$", self.path):
            self._send({"metadata": {"name": found[1]}, "spec": self.state.jobs[found[1]]["spec"],
                        "status": self.state.status(found[1])})  # fmt: skip
        else:
            self._send({"kind": "PodList", "apiVersion": "v1", "items": []})

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.partition("?")[0].rsplit("/", 1)[1]
        if name in self.state.pods:
            self.state.kill(name)
        self.state.secrets.pop(name, None)
        self._send({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _send(self, content: dict) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
