"""Computes what relays cost on AWS, and writes the tables into cost.md and the chart into cost.svg.

All unit prices stand here, once, with where and when they were read. Usage: cost.py [--check]
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
HOURS = 744  # A month of 31 days, as the vendor's customers reckon.

# USD in Tokyo (ap-northeast-1) unless said otherwise: price, unit, source.
PRICES = {
    "vcpu_x86": (0.05056, "vCPU-hour on Fargate, x86", "AWS Price List, 2026-09-25"),
    "gb_x86": (0.00553, "GB-hour on Fargate, x86", "AWS Price List, 2026-09-25"),
    "vcpu_arm": (0.04045, "vCPU-hour on Fargate, ARM", "AWS Price List, 2026-07-07"),
    "gb_arm": (0.00442, "GB-hour on Fargate, ARM", "AWS Price List, 2026-07-07"),
    "balancer": (0.0243, "hour of a network load balancer", "of an application load balancer: AWS Price List, 2026-08-27; one blog says the same of network ones"),
    "balancer_unit": (0.006, "NLCU-hour", "as above"),
    "instance": (0.10, "month of an instance in Cloud Map", "AWS Cloud Map pricing page"),
    "zone": (0.50, "month of a hosted zone", "Route 53 pricing page"),
    "query": (0.40e-6, "DNS query, the first thousand million a month", "Route 53 pricing page"),
    "nat": (0.062, "hour of a NAT gateway", "AWS Price List, 2026-09-25"),
    "nat_gb": (0.062, "GB through it", "AWS Price List, 2026-09-25"),
    "endpoint": (0.014, "hour of a PrivateLink endpoint in a zone", "AWS Price List, 2026-09-25"),
    "endpoint_gb": (0.01, "GB through it", "AWS Price List, 2026-09-25"),
    "address": (0.005, "hour of a public IPv4 address", "AWS Price List, 2026-09-25"),
    "zones_gb": (0.01, "GB between zones, each way", "EC2 pricing page; Tokyo not looked up"),
    "egress_gb": (0.114, "GB to the internet, the first 10 TB", "AWS Price List, 2026-07-20"),
    "database": (0.130, "hour of RDS db.t4g.medium, Multi-AZ, **in N. Virginia**", "infratally.com, 2026; Tokyo is dearer, its price was not found"),
    "storage_gb": (0.23, "GB-month of it, Multi-AZ, **in N. Virginia**", "twice the 0.115 of usage.ai, 2026-06"),
    "key": (1.00, "month of a KMS key", "AWS KMS pricing page"),
    "licence": (12.00, "month of a licence of the vendor's", "the proposal that this project began with; two for each VPC"),
}


def price(name):
    return PRICES[name][0]


def task(vcpu, gb, kind):
    return HOURS * (vcpu * price(f"vcpu_{kind}") + gb * price(f"gb_{kind}"))


BALANCER = HOURS * price("balancer")


def setup(name, tasks, vcpu, gb, kind, balancer=False, instances=0):
    parts = {"compute": tasks * task(vcpu, gb, kind), "balancer": BALANCER if balancer else 0, "registry": instances * price("instance") + (price("zone") if instances else 0)}
    return {"name": name, "ours": name.startswith("Ekiden"), **parts, "sum": sum(parts.values())}


PROPOSAL = setup("As proposed: 1 task of 0.25 vCPU / 0.5 GB, NLB", 1, 0.25, 0.5, "x86", balancer=True)
VENDOR = setup("Vendor's module as shipped: 1 task of 2 vCPU / 8 GB, NLB", 1, 2, 8, "x86", balancer=True)
VENDOR_DNS = setup("The same with Cloud Map for the NLB", 1, 2, 8, "x86", instances=1)
X86 = setup("Ekiden, 2 relays x86, Cloud Map", 2, 0.25, 0.5, "x86", instances=2)
ARM = setup("Ekiden, 2 relays ARM, Cloud Map", 2, 0.25, 0.5, "arm", instances=2)
ARM_ZONES = setup("Ekiden, 3 relays ARM, a zone each", 3, 0.25, 0.5, "arm", instances=3)
MIGRATING = setup("Ekiden, 2 relays ARM, the NLB kept (`enable_nlb`)", 2, 0.25, 0.5, "arm", balancer=True, instances=2)
# A relay of a cell stands in the cell's service and in the fleet's own.
CELLS = setup("Ekiden, 16 relays ARM in 2 cells", 16, 0.25, 0.5, "arm", instances=32)
SETUPS = [PROPOSAL, VENDOR, VENDOR_DNS, X86, ARM, ARM_ZONES, MIGRATING, CELLS]

CONTROL_PLANE = {
    "2 tasks of 1 vCPU / 2 GB, x86": 2 * task(1, 2, "x86"),
    "Postgres, db.t4g.medium, Multi-AZ": HOURS * price("database"),
    "its storage, 50 GB": 50 * price("storage_gb"),
    "load balancer": BALANCER,
    "KMS key": price("key"),
}


def dns(clients, ttl):
    """Queries that ask for A alone, each client as often as its answer ends."""
    return clients * HOURS * 3600 / ttl * price("query")


def money(value):
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def per_vpc():
    rows = []
    for one in SETUPS:
        licensed = money(one["sum"] + 2 * price("licence"))
        share = f"{one['balancer'] / one['sum']:.0%}" if one["balancer"] else "–"
        rows.append([one["name"], money(one["compute"]), money(one["balancer"]) if one["balancer"] else "–", money(one["registry"]) if one["registry"] else "–", f"**{money(one['sum'])}**", share, licensed])
    return table(["Per VPC and month, USD", "compute", "NLB", "Cloud Map", "sum", "NLB's share", "with 2 licences"], rows)


def many():
    control, rows = sum(CONTROL_PLANE.values()), []
    for one in (PROPOSAL, VENDOR, VENDOR_DNS, X86, ARM):
        row = [one["name"]]
        for count in (1, 10, 50, 200):
            row.append(money(count * one["sum"] + (control if one["ours"] else 0)))
        rows.append(row)
    return table(["Infrastructure a month, USD, licences aside", "1 VPC", "10 VPCs", "50 VPCs", "200 VPCs"], rows)


def even():
    control = sum(CONTROL_PLANE.values())
    rows = []
    for other in (VENDOR, VENDOR_DNS, PROPOSAL):
        at = [control * times / (other["sum"] - ARM["sum"]) for times in (1, 2)]
        rows.append([other["name"], money(other["sum"] - ARM["sum"]), *(f"{-(-value // 1):,.0f}" for value in at)])
    return table(["Against", "saved per VPC", "VPCs that pay for the control plane", "if it cost twice as much"], rows)


def control_plane():
    rows = [[name, money(value)] for name, value in CONTROL_PLANE.items()]
    total = sum(CONTROL_PLANE.values())
    rows.append(["**together**", f"**{money(total)}**"])
    rows += [[f"for each VPC, of {count}", money(total / count)] for count in (10, 50, 200)]
    return table(["Control plane, once for all, USD a month", ""], rows)


def beside():
    rows = [
        ["NAT gateway, in one zone", money(HOURS * price("nat")), money(1000 * price("nat_gb"))],
        ["PrivateLink endpoint, in two zones", money(2 * HOURS * price("endpoint")), money(1000 * price("endpoint_gb"))],
        ["Public address of a relay instead, each", money(HOURS * price("address")), "0.00"],
        ["To the internet, whichever way", "0.00", money(1000 * price("egress_gb"))],
        ["Between two zones, when DNS spreads workloads evenly", "0.00", money(1000 * 0.5 * 2 * price("zones_gb"))],
        ["NLB that is busy: one NLCU all month", money(HOURS * price("balancer_unit")), "–"],
    ]
    return table(["Beside it, the same for every setup, USD", "a month", "a TB of telemetry"], rows)


def queries():
    rows = [[f"{clients:,}", *(money(dns(clients, ttl)) for ttl in (10, 30, 60)), money(2 * dns(clients, 10))] for clients in (10, 50, 100, 200, 500, 1000)]
    rows.append(["**As much as an NLB at**", *(f"**{int(BALANCER / dns(1, ttl)):,} workloads**" for ttl in (10, 30, 60)), f"**{int(BALANCER / dns(1, 10) / 2):,}**"])
    return table(["Workloads in the VPC", "TTL 10 s", "TTL 30 s", "TTL 60 s", "TTL 10 s, AAAA too"], rows)


def prices():
    def plain(value):
        return f"{value * 1e6:.2f} per million" if value < 1e-4 else f"{value:g}"

    return table(["Unit", "USD", "source"], [[unit, plain(value), source] for value, unit, source in PRICES.values()]).replace("---:|---:|", "---:|---|")


# The chart: what a VPC costs, and of what, with a share of the control plane at 50 VPCs and 50 workloads' DNS at TTL 10.
PARTS = [("compute", "compute", "#4263a8"), ("balancer", "load balancer", "#d2703a"), ("registry", "Cloud Map", "#7b9e46"), ("dns", "DNS queries", "#b7c98a"), ("control", "control plane", "#8b8fa3")]
BARS = [
    ("Vendor's module as shipped", "1 task of 2 vCPU / 8 GB, NLB", VENDOR),
    ("Vendor's module, Cloud Map", "1 task of 2 vCPU / 8 GB", VENDOR_DNS),
    ("As proposed", "1 task of ¼ vCPU / ½ GB, NLB", PROPOSAL),
    ("Ekiden, x86", "2 relays of ¼ vCPU / ½ GB", X86),
    ("Ekiden, ARM", "2 relays of ¼ vCPU / ½ GB", ARM),
]
VPCS, WORKLOADS, TTL = 50, 50, 10


def svg():
    left, width, height, gap, top = 250, 440, 26, 20, 92
    scale = width / 130
    out, y = [], top
    for title, under, one in BARS:
        amounts = dict(one, dns=dns(WORKLOADS, TTL) if one["registry"] else 0, control=sum(CONTROL_PLANE.values()) / VPCS if one["ours"] else 0)
        out.append(f'<text x="{left - 12}" y="{y + 11}" text-anchor="end" class="name">{title}</text><text x="{left - 12}" y="{y + 25}" text-anchor="end" class="note">{under}</text>')
        x, total = float(left), sum(amounts[part] for part, _, _ in PARTS)
        for part, label, colour in PARTS:
            long = amounts[part] * scale
            if long:
                out.append(f'<rect x="{x:.1f}" y="{y}" width="{long:.1f}" height="{height}" fill="{colour}"><title>{label}: {money(amounts[part])} USD</title></rect>')
                if long > 12:
                    dark = ' style="fill:#24292f"' if part == "dns" else ""
                    out.append(f'<text x="{x + long / 2:.1f}" y="{y + 17}" text-anchor="middle" class="in"{dark}>{amounts[part]:.0f}</text>')
            x += long
        out.append(f'<text x="{x + 8:.1f}" y="{y + 18}" class="sum">{total:.0f}</text>')
        y += height + gap
    axis = []
    for value in range(0, 131, 20):
        x = left + value * scale
        axis.append(f'<line x1="{x:.1f}" y1="{top - 8}" x2="{x:.1f}" y2="{y - gap + 8}" class="grid"/><text x="{x:.1f}" y="{y - gap + 24}" text-anchor="middle" class="note">{value}</text>')
    legend, x = [], float(left)
    for _, label, colour in PARTS:
        legend.append(f'<rect x="{x:.0f}" y="56" width="11" height="11" fill="{colour}"/><text x="{x + 16:.0f}" y="66" class="note">{label}</text>')
        x += 28 + 6.5 * len(label)
    style = "text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#24292f}.head{font-size:17px;font-weight:600}.name{font-size:13px;font-weight:600}.note{font-size:11px;fill:#57606a}.in{font-size:12px;fill:#fff}.sum{font-size:14px;font-weight:600}.grid{stroke:#d8dee4;stroke-width:1}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {y + 30}" role="img" aria-label="What a VPC costs a month, in parts">',
        f"<style>{style}</style>", f'<rect width="760" height="{y + 30}" fill="#fff"/>',
        '<text x="20" y="28" class="head">Where the money goes: a VPC in Tokyo, USD a month</text>',
        f'<text x="20" y="46" class="note">{WORKLOADS} workloads that resolve every {TTL} s; the control plane shared by {VPCS} VPCs; licences, NAT and traffic aside</text>',
        *legend, *axis, *out, "</svg>",
    ]) + "\n"


TABLES = {"per-vpc": per_vpc, "many": many, "even": even, "control-plane": control_plane, "beside": beside, "queries": queries, "prices": prices}


def page(text):
    seen = set()

    def fill(match):
        seen.add(match[1])
        return f"<!-- {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    text = re.sub(r"<!-- ([a-z-]+) -->\n.*?<!-- end -->", fill, text, flags=re.S)
    assert seen == set(TABLES), f"no place in cost.md for {set(TABLES) - seen}"
    return text


def main():
    behind = []
    for name, wanted in (("cost.md", page((HERE / "cost.md").read_text())), ("cost.svg", svg())):
        file = HERE / name
        if not file.exists() or file.read_text() != wanted:
            behind.append(name)
            if sys.argv[1:] != ["--check"]:
                file.write_text(wanted)
    if sys.argv[1:] == ["--check"] and behind:
        print(f"docs/{' and docs/'.join(behind)}: not what docs/cost.py computes; run it", file=sys.stderr)
        return 1
    print("cost: tables and chart are what the prices say")
    return 0


sys.exit(main())
