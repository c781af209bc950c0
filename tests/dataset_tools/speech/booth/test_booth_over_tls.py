"""The booth in the browser of another machine, over TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect

from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.recordings.recording_rows import read_recordings


def test_speakers_on_other_machines_record_over_tls(
    workspace: Workspace, stage: SimpleNamespace, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "booth.pem", tmp_path / "booth-key.pem"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=booth", "-keyout", key)
    subprocess.run([*made, "-out", certificate], check=True, capture_output=True)
    with stage.open_booth(workspace, "--host", "0.0.0.0", "--cert", certificate, "--key", key) as address:
        parts = urlsplit(address)
        assert parts.scheme == "https"
        assert parts.hostname not in ("0.0.0.0", "127.0.0.1")  # an address that others can type
        with pytest.raises((URLError, OSError)):
            urlopen(address.replace("https", "http"), timeout=10)  # nothing in the clear
        with stage.browser_with(stage.melody(), tmp_path, address) as page:
            stage.sign_in(page, "Ann")
            stage.wait_until(page, "document.getElementById('video').currentTime > 0.2")
            stage.record(page, 1.0)
            expect(page.locator("#said")).to_contain_text("Good (")
            stage.keep(page)
            expect(page.locator("#total")).to_have_text("1 of 2 sentences recorded, 1 by you")
    (row,) = read_recordings(workspace)
    assert stage.is_melody(workspace.root / row.original)
