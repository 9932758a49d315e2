"""The numbers of `make bench-scale` as a page and a chart (gnuplot): SCALING.md, scaling.svg, and scaling.json, which they are
made from."""

import json
import subprocess

from report import number

TITLES = {
    "start": ("Start with an empty queue", "From the command to the banner of the first session, the data folder being there."),
    "connections": ("Connections", "So many idle ones after EHLO; beside them, 20 sessions on kept connections send messages of "
                    "4 KiB, which are relayed."),
    "queued": ("Queued messages, start-up and recovery", "Messages of 1 KiB are accepted and held; all are listed; all processes "
               "are killed (-9) and started again while mail comes; all are released and delivered. *To the first 250*: a "
               "message that comes to the new start, from the start on. *Recovered*: every message is known again."),
    "hops": ("Next hops", "Domains with a route each, to an address each; 20 sessions on kept connections."),
    "size": ("Size of a message, in octets", "Four sessions; the highest memory of all processes while it ran."),
    "cores": ("Cores", "The server's processes pinned to so many cores; generator and sink have the others, or the same if there "
              "are none. 20 sessions relay, 100 are accepted and held; µs of CPU a message by kind of process, in the row of "
              "kept connections."),
}


def text(value):
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 10 else number(value)
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else value


def table(name, rows):
    columns = list(dict.fromkeys(k for row in rows for k in row if k != "step"))
    lines = [f"| {name} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row['step']:,} | " + " | ".join(text(row.get(c)) for c in columns) + " |" for row in rows]
    return lines


def growth(rows, column):
    """How many times the first step's value the last one's is; None where one is missing."""
    values = [row[column] for row in rows if row.get(column)]
    return values[-1] / values[0] if len(values) > 1 else None


def flat(rows, columns):
    """A sentence on what changed from the first step to the last."""
    parts = [f"{c} {g:.2f} ×" for c in columns if (g := growth(rows, c))]
    steps = [row["step"] for row in rows if not row.get("failed")]
    return [f"From {steps[0]:,} to {steps[-1]:,}: " + ", ".join(parts) + ".", ""] if parts else []


WATCHED = {"connections": ("relayed a second beside them", "p99 ms to the 250"),
           "queued": ("accepted a second", "drained a second", "octets a message"),
           "hops": ("relayed a second",), "size": ("MiB PSS at most",)}


def argument(facts):
    """Where it would saturate with more cores than were measured: what there is one of."""
    rows = [row for row in facts["tables"].get("cores", []) if row.get("µs dispatcher")]
    if not rows:
        return []
    last = rows[-1]  # the most cores
    each = {role: last[f"µs {role}"] for role in ("receiver", "dispatcher", "deliverer", "directory") if last.get(f"µs {role}")}
    disk = facts.get("disk", {})
    parallel = each.get("receiver", 0) + each.get("deliverer", 0)
    lines = ["What more cores would do, by what there is one of:", "",
             "- **Receivers and deliverers** are one a core. They share no memory but the bounded table of limits, and append to "
             f"segments of their own; together they take {parallel:.0f} µs of CPU a message here, and that part divides by the "
             "number of cores."]
    if each.get("dispatcher"):
        lines.append(f"- **The dispatcher** is one: {each['dispatcher']:.0f} µs a message, thus at most "
                     f"{number(1e6 / each['dispatcher'])} messages a second through the queue on such a core. It is the first "
                     f"to saturate, with about {1 + parallel / each['dispatcher']:.1f} cores for the server, generator and sink "
                     "not counted. A receiver tells it of several commits in one packet and it syncs its ledger once for all "
                     "that a turn changed, so that it does less a message the busier it is. Accepting does not wait for it.")
    if each.get("directory"):
        lines.append(f"- **The directory** is one: {each['directory']:.0f} µs a message, at most "
                     f"{number(1e6 / each['directory'])} a second.")
    if disk:
        rates = "; ".join(f"{number(v)} {k}" for k, v in disk.items())
        lines.append(f"- **The disk** is one: {rates}. Sessions that end together share an fdatasync, receivers do not share "
                     "theirs with one another: more receivers make smaller groups, and the disk's own rate of fdatasync bounds "
                     "their number of groups, not of messages.")
    return [*lines, ""]


def page(facts, picture="scaling.svg"):
    took = f" {facts['seconds']:.0f} s." if "seconds" in facts else ""
    lines = ["# Results of `make bench-scale`" + (" with --small" if facts["small"] else ""), "",
             f"{facts['began']}, {facts['machine']}; load average at the begin {facts['load']:.1f}.{took} Generator and sink run "
             "on the same cores. What each table does: [scale.py](scale.py).", ""]
    if facts["load"] > 0.7:
        lines += ["**The machine was not idle when this began: others' work is in these figures.**", ""]
    lines += [f"![scaling]({picture})", ""]
    for name, rows in facts["tables"].items():
        title, words = TITLES[name]
        lines += [f"## {title}", "", words, "", *table(name, rows), ""]
        lines += flat(rows, WATCHED.get(name, ()))
        if name == "cores":
            lines += argument(facts)
    return "\n".join(lines)


PLOTS = (  # table, axis of x, (column, title, on the right), label of the left, of the right
    ("queued", "queued messages", (("accepted a second", "accepted", 0), ("drained a second", "drained", 0),
                                   ("octets a message", "octets a message", 1)), "messages a second", "octets"),
    ("queued", "queued messages", (("s to recovered", "recovered after kill -9", 0), ("s to the first 250", "first 250", 0),
                                   ("s to list all", "queue list", 0)), "seconds", None),
    ("connections", "idle connections", (("relayed a second beside them", "relayed beside them", 0),
                                         ("KiB PSS a connection", "KiB a connection", 1)), "messages a second", "KiB"),
    ("hops", "next hops", (("relayed a second", "relayed", 0),), "messages a second", None),
    ("size", "octets of a message", (("MB a second", "MB a second", 0), ("MiB PSS at most", "memory at most, MiB", 1)),
     "MB a second", "MiB"),
)
COLOURS = ("#1b6ca8", "#d98032", "#7a9a3a")


def plot(facts, n, name, columns, left, right, label):
    rows = [row for row in facts["tables"].get(name, []) if not row.get("failed")]
    if len(rows) < 2 or not any(row.get(c) for row in rows for c, _, _ in columns):
        return ""
    data = "\n".join(f"{row['step']} " + " ".join(f"{row[c]:.6g}" if row.get(c) else "?" for c, _, _ in columns) for row in rows)
    lines = ", ".join(f"$d{n} using 1:{i + 2} with linespoints pointtype 7 linewidth 2 linecolor rgb '{COLOURS[i]}' title '{title}'" +
                      (" axes x1y2" if second else "") for i, (_, title, second) in enumerate(columns)
                      if any(row.get(columns[i][0]) for row in rows))
    right = right if any(second and row.get(c) for c, _, second in columns for row in rows) else None
    both = f"set y2label '{right}'\nset y2tics\nset y2range [0:*]\nset ytics nomirror" if right else (
        "unset y2label\nunset y2tics\nset ytics mirror")
    return f"""$d{n} << END
{data}
END
set xlabel '{label}'
set ylabel '{left}'
{"set logscale y" if left == "seconds" else "unset logscale y"}
set yrange [{"*" if left == "seconds" else "0"}:*]
{both}
plot {lines}
"""


def chart_script(facts, path):
    plots = [p for n, (name, label, columns, left, right) in enumerate(PLOTS)
             if (p := plot(facts, n, name, columns, left, right, label))]
    if not plots:
        return ""
    return f"""set terminal svg size 1320,{380 * ((len(plots) + 1) // 2)} font 'sans-serif,11' background '#ffffff'
set output '{path}'
set datafile missing '?'
set multiplot layout {(len(plots) + 1) // 2},2 margins 0.07,0.93,0.08,0.96 spacing 0.14,0.11
set logscale x
set format x '10^{{%T}}'
set grid linecolor rgb '#dddddd'
set key above
{"".join(plots)}unset multiplot
"""


def write(facts, folder):
    """Page, chart and JSON; returns the page's path."""
    (folder / "scaling.json").write_text(json.dumps(facts, indent=1) + "\n")
    (folder / "SCALING.md").write_text(page(facts))
    script = chart_script(facts, folder / "scaling.svg")
    if script:
        subprocess.run(["gnuplot"], input=script, text=True, check=True)
    return folder / "SCALING.md"
