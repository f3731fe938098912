"""Reads metrics from standard input, or from a port of this host, by Prometheus's own library, and
holds them to its rules. Prints what it found as JSON."""

import json
import sys
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

if len(sys.argv) > 1:
    with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.read().decode()
else:
    text = sys.stdin.buffer.read().decode()

found = {}
seen = set()
for family in text_string_to_metric_families(text):
    assert family.documentation, family.name
    assert family.type in ("counter", "gauge", "histogram"), family
    counts = {}
    for sample in family.samples:
        labels = tuple(sorted(sample.labels.items()))
        assert (sample.name, labels) not in seen, sample
        seen.add((sample.name, labels))
        if family.type == "counter":
            assert sample.name == family.name + "_total", sample
        elif family.type == "gauge":
            assert sample.name == family.name and not sample.name.endswith("_total"), sample
        else:
            series = tuple(item for item in labels if item[0] != "le")
            counts.setdefault(series, []).append(sample)
    for samples in counts.values():
        buckets = [s for s in samples if s.name.endswith("_bucket")]
        bounds = [float(s.labels["le"]) for s in buckets]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf"), bounds
        values = [s.value for s in buckets]
        assert values == sorted(values), values
        (count,) = [s.value for s in samples if s.name.endswith("_count")]
        (total,) = [s.value for s in samples if s.name.endswith("_sum")]
        assert values[-1] == count and total >= 0, samples
    found[family.name] = {
        "type": family.type,
        "samples": [[s.name, s.labels, s.value] for s in family.samples],
    }
print(json.dumps(found))
