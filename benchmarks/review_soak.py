"""Soak test of the review: every decision arrives exactly once while server, push and pull are killed.

    python benchmarks/review_soak.py [--tasks N] [--server-kills K] [--command-kills C] [--seed S]

Starts a separate Label Studio server and two scripted annotators, who each decide on every clip through the API and
retry when a response is lost, as a person who sees an error would. Meanwhile `fmn-data annotate push` and `pull` run
alternately; some are killed (SIGKILL) after a random time, and so is the server, which is restarted. After all
decisions, a final pull runs, and reviews.jsonl is compared with the annotations in the server's database.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from made_up_answers import MEDIA_URL, verdict
from made_up_rows import clip_row, interval_id

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import live
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.push import PushOptions, push
from dataset_tools.label_studio.workspace_server import Target, login_file, serve, stop
from dataset_tools.manifests import write_rows

VERDICTS = ("accept", "reject")


@dataclass
class Soak:
    """A workspace with its server, and counts of the events of the test."""

    place: Workspace
    rng: random.Random
    url: str = ""
    key: str = ""
    events: Counter[str] = field(default_factory=Counter)
    lasted_s: dict[str, float] = field(default_factory=dict)

    def start_server(self) -> None:
        target = serve(self.place)
        self.url, self.key = target.url, target.api_key

    def kill_server(self) -> None:
        """Kills and restarts the server, as after a power cut: the process cannot complete a write."""
        os.kill(json.loads(login_file(self.place).read_text())["pid"], signal.SIGKILL)
        self.events["server killed"] += 1
        time.sleep(1)
        self.start_server()

    def commands_killed(self) -> int:
        return self.events["pull killed"] + self.events["push killed"]

    def run_command(self, command: str, *, kill: bool) -> None:
        """Runs ``push`` or ``pull``; kills it at a random time within the duration of its last complete run."""
        kill_after_s = self.rng.uniform(0.2, 1) * self.lasted_s.get(command, 8) if kill else None
        started = time.monotonic()
        program = [sys.executable, "-c", "from dataset_tools.cli.main import main; main()"]
        arguments = ["annotate", command, "-w", str(self.place.root)]
        arguments += ["--media-url", MEDIA_URL] if command == "push" else []
        # with these variables, the command does not start a server that is down: only this program does
        named = {"LABEL_STUDIO_URL": self.url, "LABEL_STUDIO_API_KEY": self.key}
        process = subprocess.Popen(
            [*program, *arguments], env=os.environ | named, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=kill_after_s)
            self.events[f"{command} ended {process.returncode}"] += 1
            if process.returncode == 0:  # if the server is down, the command ends much earlier
                self.lasted_s[command] = time.monotonic() - started
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.events[f"{command} killed"] += 1

    def second_key(self) -> str:
        """Signs up a second annotator on the invitation page; returns the API key of the new account."""
        headers = {"Authorization": f"Token {self.key}"}
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=60) as browser:
            invitation = httpx.get(f"{self.url}/api/invite", headers=headers).json()["invite_url"]
            hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(invitation).text)
            assert hidden is not None
            form = {"csrfmiddlewaretoken": hidden[1], "email": "second@example.com", "password": "a-long-password"}
            browser.post(invitation, data=form, headers={"Referer": f"{self.url}{invitation}"})
            return str(browser.get("/api/current-user/token").json()["token"])


def annotate(soak: Soak, key: str, tasks: list[int], rng: random.Random) -> None:
    """Decides on every task; if a response is lost, checks whether the decision arrived before retrying."""
    headers = {"Authorization": f"Token {key}"}
    with httpx.Client(headers=headers, timeout=30) as http:
        me = retried(lambda: http.get(f"{soak.url}/api/current-user/whoami"))["id"]
        for task in tasks:
            result = [verdict(rng.choice(VERDICTS))]
            while True:
                try:
                    answer = http.post(f"{soak.url}/api/tasks/{task}/annotations", json={"result": result})
                    answer.raise_for_status()
                    break
                except httpx.HTTPError:
                    soak.events["answer lost"] += 1
                    time.sleep(1)
                there = retried(lambda task=task: http.get(f"{soak.url}/api/tasks/{task}/annotations"))
                if any(one["completed_by"] == me for one in there):
                    soak.events["lost answer had arrived"] += 1
                    break


def retried(ask: Any) -> Any:
    while True:
        with suppress(httpx.HTTPError):
            answer = ask()
            if answer.status_code == 200:
                return answer.json()
        time.sleep(1)


def in_database(place: Workspace) -> dict[int, str]:
    """The annotations in the server's database: verdict by id."""
    database = place.cache / "label-studio" / "data" / "label_studio.sqlite3"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        rows = connection.execute("SELECT id, result FROM task_completion").fetchall()
    return {number: json.loads(result)[0]["value"]["choices"][0] for number, result in rows}


def soak(folder: Path, tasks: int, server_kills: int, command_kills: int, seed: int) -> dict[str, Any]:
    """Runs the test; returns the counts, of which ``missing``, ``doubled`` and ``wrong`` must be 0.

    Args:
        folder: folder for the workspace and its server.
        tasks: number of clips; each gets a decision of both annotators.
        server_kills: number of kills of the server, spread over the work of the annotators.
        command_kills: minimum number of kills of pushes and pulls; the others run to completion.
        seed: seed of the times and the verdicts.
    """
    started = time.monotonic()
    rng = random.Random(seed)
    here = Soak(Workspace(folder / "set"), rng)
    classes = load_classes()
    names = [one.id for one in classes.classes]
    rows = [clip_row(interval_id("s07-d20", 60 * n + 1, digits=8), names[n % len(names)]) for n in range(tasks)]
    write_rows(here.place.manifests / "clips.jsonl", rows)
    here.start_server()
    try:
        for _ in range(3):  # a push that is killed while it creates tasks is completed by the next one
            here.run_command("push", kill=True)
        options = PushOptions(media_url=MEDIA_URL, annotators=2)
        pushed = push(here.place, Target(here.url, here.key), classes, options=options)
        listed: list[dict[str, Any]] = []
        page = {"project": pushed.project, "page_size": 1000, "fields": "task_only", "include": "id,data"}
        while len(listed) < tasks:
            query = {**page, "page": len(listed) // 1000 + 1}
            answer = httpx.get(f"{here.url}/api/tasks", params=query, headers={"Authorization": f"Token {here.key}"})
            listed += answer.json()["tasks"]
        assert len(listed) == len({task["data"]["clip_id"] for task in listed}) == tasks, "duplicated tasks"
        ids = [task["id"] for task in listed]

        keys = (here.key, here.second_key())
        people = []
        for number, key in enumerate(keys):
            order = random.Random(f"{seed} {number}")
            shuffled = order.sample(ids, len(ids))
            people.append(threading.Thread(target=annotate, args=(here, key, shuffled, order), daemon=True))
        for person in people:
            person.start()
        due = sorted(rng.uniform(0.1, 0.9) * 2 * tasks for _ in range(server_kills))
        while any(person.is_alive() for person in people) or due or here.commands_killed() < command_kills:
            kill = rng.random() < 0.5
            outage = threading.Timer(rng.uniform(0, 2), here.kill_server)
            if due and (len(in_database(here.place)) >= due[0] or not any(person.is_alive() for person in people)):
                due.pop(0)
                outage.start()
            command = rng.choice(("pull", "pull", "push"))
            here.run_command(command, kill=kill)
            if outage.ident is not None:
                outage.join()
        for person in people:
            person.join()
        last = pull(here.place, Target(here.url, here.key))
        again = pull(here.place, Target(here.url, here.key))
        truth = in_database(here.place)
    finally:
        stop(here.place)

    reviews = [row for row in read_reviews(reviews_path(here.place)) if row.item == "clip"]
    arrived = {row.label_studio.annotation: row.verdict for row in live(reviews)}
    who = Counter((row.id, row.annotator) for row in live(reviews))
    lines = Counter(row.key for row in reviews)
    return {
        "tasks": tasks,
        "decisions on the server": len(truth),
        "decisions here": len(arrived),
        "clips and annotators": len(who),
        "missing": len(truth.keys() - arrived.keys()),
        "doubled": sum(count - 1 for count in lines.values()) + sum(count - 1 for count in who.values()),
        "wrong": sum(arrived[one] != verdict for one, verdict in truth.items() if one in arrived),
        "brought by the last pull": last.decided,
        "by one more": again.rows,
        "still to come": again.unread,
        **dict(sorted(here.events.items())),
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--server-kills", type=int, default=3)
    parser.add_argument("--command-kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), options.tasks, options.server_kills, options.command_kills, options.seed)
    print(json.dumps(found, indent=1))
    expected = 2 * options.tasks
    if found["decisions here"] != expected or found["missing"] or found["doubled"] or found["wrong"]:
        raise SystemExit(f"{expected} decisions were made; those in reviews.jsonl differ (see above)")


if __name__ == "__main__":
    main()
