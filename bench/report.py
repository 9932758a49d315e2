"""The numbers as a page and a chart (gnuplot): RESULTS.md, results.svg and the JSON they are made from."""

import json
import statistics
import subprocess

from cells import COSTS, KEPT, TLS, TLS_RECEIVER, ordered

COLOURS = {"limit": "#c8c8c8", "Postrider": "#1b6ca8", "Postfix": "#d98032", "Exim": "#7a9a3a", "Sendmail": "#b8483f",
           "OpenSMTPD": "#9a6fb0"}
ORDER = ["Postrider", "Postfix", "Exim", "Sendmail", "OpenSMTPD"]
FAULTS = ("lost", "doubled", "damaged", "refused")
# What Postrider is meant to reach on the machine of two cores that the aims were set on, and what that machine's limit was, by
# the beginning of a row's name. Another machine is held to the ratio of the two.
AIMS = (
    ("relay, 20 sessions, one", 11_400, 27_600), ("relay, 100 sessions, one", 12_000, 29_000),
    ("relay, 20 sessions, connections", 20_000, 63_800), ("relay, 1 MiB", 900, 2_292), ("relay, 50", 2_500, 4_615),
    ("STARTTLS", 1_500, 1_900), ("accept only, 20", 18_000, 27_600), ("accept only, 100 sessions, one", 18_000, 29_000),
    ("accept only, 100 sessions, connections", 32_000, 63_800), ("drain", 15_000, 63_800),
    ("latency to the 250, 20 sessions relay, p50", 2, 0.6), ("latency to the 250, 20 sessions relay, p99", 6, 1.1),
    ("CPU of the server a relayed message, connections", 55, None), ("CPU of the server", 90, None),
    ("memory, an idle", 10, None), ("memory of all", 30, None),
)


def aim(row):
    """(value, its ratio to the limit)"""
    for start, value, limit in AIMS:
        if row.startswith(start):
            return value, value / limit if limit else None
    return None, None


def limit_of(facts, row):
    """The limit of a row that has none of its own: without delivery, or with other keys, it is the same as another's."""
    other = KEPT if row.startswith("drain") else TLS if row == TLS_RECEIVER else row
    return median(facts["rows"].get(other, {}).get("limit"))


def median(runs):
    values = [r["value"] for r in runs or () if r["value"] is not None]
    return statistics.median(values) if values else None


def number(v):
    if v is None:
        return "–"
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.1f}"


def faults(facts, server):
    """Sum of each kind over all runs of a server."""
    total = dict.fromkeys(FAULTS, 0)
    for servers in facts["rows"].values():
        for run in servers.get(server, []):
            for kind in FAULTS:
                total[kind] += run.get(kind, 0)
    return total


def sound(facts):
    """Postrider lost, doubled, damaged and refused nothing, and every row has its value."""
    runs = [run for servers in facts["rows"].values() for run in servers.get("Postrider", [])]
    return not any(faults(facts, "Postrider").values()) and all(run["value"] is not None for run in runs)


def rows_of(facts):
    known = ordered(facts["queued"])
    return [r for r in known if r in facts["rows"]] + [r for r in facts["rows"] if r not in known]


def ratio(row, ours, others):
    """How many times better than the best of the others."""
    others = [v for v in others if v and v > 0]
    if not ours or ours <= 0 or not others:
        return None
    return min(others) / ours if row in COSTS else ours / max(others)


def times(v):
    return "–" if v is None else f"{v:.1f} ×" if v < 100 else f"{v:.0f} ×"


def notes(facts):
    """(row, server) -> number of the note, and the notes: where rounds have no value, or less than wanted."""
    marks, lines = {}, []
    for row in rows_of(facts):
        for server in ("limit", *ORDER):
            for run in facts["rows"][row].get(server, []):
                why = run.get("why")
                if not why and run.get("complete") is False:
                    why = f"not complete when its time was over; the rate is of the {run['arrived']:,} that came"
                if why and (row, server) not in marks:
                    marks[row, server] = len(lines) + 1
                    lines.append(f"{len(lines) + 1}. {server}, {row}: {why}")
    return marks, lines


def table(facts, marks):
    lines = ["| scenario | limit | " + " | ".join(ORDER) + " | Postrider to the best other | to the limit | aim | aim, to the limit |",
             "|---" * (len(ORDER) + 6) + "|"]
    for row in rows_of(facts):
        servers = facts["rows"][row]
        values = {s: median(servers.get(s)) for s in ("limit", *ORDER)}
        ours, limit = values["Postrider"], limit_of(facts, row)
        wanted, share = aim(row)
        texts = {s: number(v) + (f" ({marks[row, s]})" if (row, s) in marks else "") for s, v in values.items()}
        unit = f" [{COSTS[row]}]" if row in COSTS else ""
        lines.append(f"| {row}{unit} | {texts['limit']} | " + " | ".join(texts[s] for s in ORDER) +
                     f" | {times(ratio(row, ours, [values[s] for s in ORDER[1:]]))}" +
                     f" | {f'{ours / limit:.2f}' if ours and limit else '–'} | {number(wanted)}" +
                     f" | {f'{share:.2f}' if share else '–'} |")
    return lines


def markdown(facts, picture):
    disk = facts["disk"]
    rates = "; ".join(f"{number(statistics.median(d[k] for d in disk))} {k}" for k in disk[0]) if disk else "not measured"
    lines = ["# Results of `make bench" + ("-quick`: one short round" if facts["quick"] else "`"), "",
             f"{facts['began']}, {facts['machine']}. {facts['rounds']} interleaved round(s) in {facts['seconds']:.0f} s, "
             f"{facts['cell_seconds']:g} s a row; medians. Generator and sink run on the same cores. Messages of 4 KiB unless "
             "said; loopback; messages a second unless a unit is given. *Limit*: the generator straight into its sink. *Aim*: "
             "what Postrider was to reach on a faster machine, and which share of that machine's limit it is: to be compared with "
             "the share reached here (the drain to the limit of kept connections). "
             "What each row does and how the servers are configured: [README.md](README.md).", "",
             f"The disk, in the same run: {rates}."]
    if facts["load"] > 0.7:
        lines += ["", f"**The machine was not idle when this began (load average {facts['load']:.1f}): others' work is in "
                  "these figures.**"]
    marks, whys = notes(facts)
    lines += ["", *table(facts, marks), ""]
    if whys:
        lines += ["Notes:", "", *whys, ""]
    lines += ["| server | version | durability | lost | doubled | damaged | refused |", "|---" * 7 + "|"]
    for server in ORDER:
        if server in facts["versions"]:
            f = faults(facts, server)
            lines.append(f"| {server} | {facts['versions'][server]} | {facts['durability'][server]} | " +
                         " | ".join(str(f[k]) for k in FAULTS) + " |")
    lines += ["", f"![rates]({picture})", "", "The rounds of Postrider, lowest to highest:", ""]
    for row in rows_of(facts):
        runs = [r["value"] for r in facts["rows"][row].get("Postrider", []) if r["value"] is not None]
        if runs:
            lines.append(f"- {row}: {number(min(runs))} – {number(max(runs))}")
    return "\n".join(lines) + "\n"


def chart_script(facts, path):
    """Rates on a logarithmic scale, a cluster of bars a scenario."""
    rows = [r for r in rows_of(facts) if r not in COSTS]
    columns = [s for s in ["limit", *ORDER] if any(median(facts["rows"][r].get(s)) for r in rows)]
    data = []
    for row in rows:
        label = row.replace(", one message a connection", ", 1 a conn.").replace(" (TLS 1.3, P-256, full handshakes)", "")
        values = [median(facts["rows"][row].get(s)) or 0 for s in columns]
        # Words on lines of their own where there is a comma.
        data.append('"' + label.replace(", ", ",\\n") + '" ' + " ".join(f"{v:.1f}" if v > 0 else "?" for v in values))
    plots = ", ".join(f"$data using {i + 2}:xtic(1) title '{name}' linecolor rgb '{COLOURS[name]}'"
                      for i, name in enumerate(columns))
    return "$data << END\n" + "\n".join(data) + f"""
END
set terminal svg size 1320,580 font 'sans-serif,11' background '#ffffff'
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


def write(facts, folder):
    """Page, chart and JSON; returns the page's path."""
    end = "-quick" if facts["quick"] else ""
    page, picture = folder / f"RESULTS{end}.md", f"results{end}.svg"
    (folder / f"results{end}.json").write_text(json.dumps(facts, indent=1) + "\n")
    page.write_text(markdown(facts, picture))
    subprocess.run(["gnuplot"], input=chart_script(facts, folder / picture), text=True, check=True)
    return page
