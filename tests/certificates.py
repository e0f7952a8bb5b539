"""Certificates for a test's servers on loopback, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certify(folder: Path) -> None:
    """Two authorities, and a certificate for 127.0.0.1 by the first: ca.pem, other.pem, b.pem, b.key."""
    for name in ("ca", "other"):
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        openssl(folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    asked = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "b.key", "-out", "b.csr"]
    openssl(folder, *asked)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signed = ["x509", "-req", "-in", "b.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
    openssl(folder, *signed, "-extfile", "names", "-out", "b.pem")
    openssl(folder, "pkcs8", "-topk8", "-nocrypt", "-in", "b.key", "-out", "b.pk8")
    (folder / "server.pem").write_text((folder / "b.pk8").read_text() + (folder / "b.pem").read_text())
