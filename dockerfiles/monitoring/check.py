#!/usr/bin/env python3
"""Asks a live Prometheus every query of every dashboard, every rule and every metric of every alert, and demands data.

usage: check.py URL [SECONDS [METRIC]]     exits 1 if anything has no data after so many seconds (180); with METRIC only
                                           what names a metric that begins so

A dashboard whose panels are empty looks like a quiet system. Grafana is not needed for this: its panels are files.
"""

import json
import math
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request

DASHBOARDS = pathlib.Path(__file__).parent / "grafana" / "dashboards"
METRIC = re.compile(r"\b(?:dsm[a-z0-9_:]+|process_[a-z_]+|up)\b")
# What a bridge shows once it has a contract; the others of its families are the core node's.
BRIDGE = re.compile(r"dsm_bridge_(?!idle|locks_total|emissions|moves|outbox_size)")


def ask(base, path, **parameters):
    url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        body = json.load(answer)
    if body["status"] != "success":
        raise ValueError(body)
    return body["data"]


def samples(base, query):
    """How many numbers a query gives now."""
    result = ask(base, "query", query=query)["result"]
    return sum(1 for one in result if not math.isnan(float(one["value"][1])))


def panels():
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.stem}: {panel['title']}", target["expr"]


def metrics_of(query):
    """Names outside of matchers, strings and lists of labels."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\b(?:by|on|without|ignoring)\s*\([^)]*\)', "", query)
    return set(METRIC.findall(bare))


def wanted(base):
    """What has to have data: (what it is, query)."""
    yield from panels()
    rules = [rule for group in ask(base, "rules")["groups"] for rule in group["rules"]]
    if not rules:
        raise ValueError("Prometheus has no rules")
    for rule in rules:
        if rule["health"] == "err":
            raise ValueError(f"{rule['name']}: {rule['lastError']}")
        if rule["type"] == "recording":
            yield f"rule {rule['name']}", rule["name"]
        else:
            # An alert that does not fire has no data; what it looks at has.
            for metric in sorted(metrics_of(rule["query"])):
                yield f"alert {rule['name']}", f"count({metric})"


def main():
    base, patience = sys.argv[1].rstrip("/"), float(sys.argv[2]) if len(sys.argv) > 2 else 180
    metric = sys.argv[3] if len(sys.argv) > 3 else ""
    end = time.monotonic() + patience
    while True:
        try:
            queries = [(what, query) for what, query in wanted(base) if metric in query]
            if samples(base, "dsm_bridge_idle == 1"):
                queries = [(what, query) for what, query in queries if not BRIDGE.search(query)]
            empty = [(what, query) for what, query in queries if not samples(base, query)]
        except (ValueError, OSError) as error:
            queries, empty = [], [("Prometheus", str(error))]
        if not empty or time.monotonic() > end:
            break
        time.sleep(3)
    for what, query in empty:
        print(f"no data: {what}: {query}")
    print(f"{len(queries) - len(empty)} of {len(queries)} queries have data")
    sys.exit(bool(empty))


main()
