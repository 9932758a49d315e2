"""The numbers as a page and a chart (gnuplot)."""

import os
import pathlib
import platform
import statistics
import subprocess

COLOURS = {"limit": "#c8c8c8", "Postrider": "#1b6ca8", "Postfix": "#d98032", "Exim": "#7a9a3a", "OpenSMTPD": "#9a6fb0"}
ORDER = ["Postrider", "Postfix", "Exim", "OpenSMTPD"]
# Rows where less is better, with their unit; all others are messages a second.
COSTS = {
    "latency to the 250, 20 sessions, p50": "ms",
    "latency to the 250, 20 sessions, p99": "ms",
    "CPU of the server, one message a connection": "µs a message",
    "CPU of the server, connections kept": "µs a message",
    "memory, an idle connection after EHLO": "KiB (PSS)",
    "memory of all processes, 10,000 queued": "MiB (PSS)",
    "memory of all processes, 2,000 queued": "MiB (PSS)",
}
FAULTS = ("lost", "doubled", "damaged", "refused")


def median(runs):
    return statistics.median(r["value"] for r in runs) if runs else None


def number(v):
    if v is None:
        return "–"
    return f"{v:,.0f}" if v >= 100 else f"{v:.1f}"


def faults(facts, server):
    """Sum of each kind over all runs of a server."""
    total = dict.fromkeys(FAULTS, 0)
    for servers in facts["rows"].values():
        for run in servers.get(server, []):
            for kind in FAULTS:
                total[kind] += run.get(kind, 0)
    return total


def sound(facts):
    """Postrider lost, doubled, damaged and refused nothing."""
    return not any(faults(facts, "Postrider").values())


def ordered(facts):
    """Rates first, then costs."""
    rows = list(facts["rows"])
    return [r for r in rows if r not in COSTS] + [r for r in rows if r in COSTS]


def ratio(row, ours, others):
    """How many times better than the best of the others."""
    others = [v for v in others if v and v > 0]
    if not ours or ours <= 0 or not others:
        return None
    return min(others) / ours if row in COSTS else ours / max(others)


def machine():
    model = "unknown CPU"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) // (1 << 20)
    return f"{os.cpu_count()} cores of {model}, {memory} GiB, Linux {platform.release()}"


def markdown(facts, path):
    lines = ["# Results of `make bench`" + (" (quick: one short round)" if facts["quick"] else ""), "",
             f"Machine: {machine()}. {facts['rounds']} interleaved round(s), {facts['seconds']:.0f} s; medians. Generator "
             "and sink run on the same cores. Messages of 4 KiB unless said; loopback; messages a second unless a unit "
             "is given. *Limit*: the generator straight into the sink. What each row does and how the servers are "
             "configured is in [README.md](README.md).", "",
             "| scenario | limit | " + " | ".join(ORDER) + " | Postrider to the best other | to the limit |",
             "|---" * (len(ORDER) + 4) + "|"]
    for row in ordered(facts):
        servers = facts["rows"][row]
        values = {s: median(servers.get(s)) for s in [*ORDER, "limit"]}
        better = ratio(row, values["Postrider"], [values[s] for s in ORDER[1:]])
        share = values["Postrider"] / values["limit"] if values["limit"] and values["Postrider"] else None
        unit = f" [{COSTS[row]}]" if row in COSTS else ""
        share_text = "–" if share is None else f"{share:.2f}" + (" ×" if row in COSTS else "")
        lines.append(f"| {row}{unit} | {number(values['limit'])} | " + " | ".join(number(values[s]) for s in ORDER) +
                     f" | {'–' if better is None else f'{better:.1f} ×'} | {share_text} |")
    lines += ["", "| server | version | durability | lost | doubled | damaged | refused |", "|---" * 7 + "|"]
    for server in ORDER:
        if server in facts["versions"]:
            f = faults(facts, server)
            lines.append(f"| {server} | {facts['versions'][server]} | {facts['durability'][server]} | " +
                         " | ".join(str(f[k]) for k in FAULTS) + " |")
    lines += ["", "![chart](" + path.name.replace("RESULTS", "results").replace(".md", ".svg") + ")", "",
              "The spread of the rounds, Postrider, lowest to highest:", ""]
    for row in ordered(facts):
        runs = [r["value"] for r in facts["rows"][row].get("Postrider", [])]
        if runs:
            lines.append(f"- {row}: {number(min(runs))} – {number(max(runs))}")
    path.write_text("\n".join(lines) + "\n")


def chart(facts, path, work):
    """Rates on a logarithmic scale, a cluster of bars a scenario."""
    rows = [r for r in ordered(facts) if r not in COSTS]
    columns = [s for s in ["limit", *ORDER] if any(median(facts["rows"][r].get(s)) for r in rows)]
    data = work / "chart.dat"
    with data.open("w") as out:
        for row in rows:
            label = row.replace(", one message a connection", ", 1 a conn.").replace(", ", ",\\n")
            values = [median(facts["rows"][row].get(s)) or 0 for s in columns]
            out.write(f'"{label}" ' + " ".join(f"{v if v > 0 else '?'}" for v in values) + "\n")
    plots = ", ".join(f"'{data}' using {i + 2}:xtic(1) title '{name}' linecolor rgb '{COLOURS[name]}'"
                      for i, name in enumerate(columns))
    script = f"""set terminal svg size 1200,560 font 'sans-serif,11' background '#ffffff'
set output '{path}'
set style data histogram
set style histogram cluster gap 1
set style fill solid 0.95 noborder
set boxwidth 0.9
set logscale y
set datafile missing '?'
set yrange [30:*]
set format y '%.0f'
set ylabel 'messages a second (logarithmic)'
set grid ytics linecolor rgb '#dddddd'
set key top right horizontal
set title 'Relay and accept rates, one machine, loopback ({facts['rounds']} rounds, medians)'
plot {plots}
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
