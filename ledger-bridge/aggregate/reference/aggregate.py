#!/usr/bin/env python3
"""The aggregation again, from README.md beside this folder and from nothing else; standard library only.

Reads one JSON case per line on stdin, {"rule": NAME, "in": {...}}, and writes one JSON result per line.
Numbers of more than 64 bits travel as decimal strings, bytes as hexadecimal ones.
"""

import hashlib
import json
import math
import sys
from fractions import Fraction

D, Z = 1_000_000, 2_705_543
SATURATED = 2**128 - 1
VERDICTS = {"inconclusive": 0, "pass": 1, "warned": 2, "breach": 3}
SEVERITY = {"pass": 0, "inconclusive": 1, "warned": 2, "breach": 3}
ATTESTATION, TIER, AVAILABILITY, COVERAGE, CHASE, IDENTITY, DATA, SYSTEMIC = (1 << i for i in range(8))


def two_thirds(part, whole):
    return 3 * part > 2 * whole


def half(part, whole):
    return 2 * part > whole


# ---------------------------------------------------------------- 1. capped weights


def capped_weights(staked, cap_bps):
    """staked: [(id, operator, stake)] -> {id: weight}, or None where there are no weights."""
    total = sum(stake for _, _, stake in staked)
    sums = {}
    for _, operator, stake in staked:
        if stake:
            sums[operator] = sums.get(operator, 0) + stake
    ids = {identity for identity, _, _ in staked}
    bad = total == 0 or cap_bps > 10_000
    if bad or len(ids) != len(staked) or any(stake >= 2**96 for _, _, stake in staked):
        return None
    limit = total * cap_bps // 10_000
    weight = lambda o, s: s * min(sums[o], limit) // sums[o] if s else 0
    return {identity: weight(operator, stake) for identity, operator, stake in staked}


# ---------------------------------------------------------------- 2. draws


class Words:
    def __init__(self, label, network, beacon, period, node, slot=None):
        self.prefix = label.encode() + network + beacon + period.to_bytes(8, "big") + node
        if slot is not None:
            self.prefix += slot.to_bytes(4, "big")
        self.i = 0

    def below(self, bound):
        fair = 2**128 // bound * bound
        while True:
            digest = hashlib.sha256(self.prefix + self.i.to_bytes(8, "big")).digest()
            self.i += 1
            x = int.from_bytes(digest[:16], "big")
            if x < fair:
                return x % bound


def urn_of(members):
    """members: [(id, operator, weight)]"""
    return sorted(member for member in members if member[2] > 0)


def draw_one(words, urn):
    place = words.below(sum(weight for _, _, weight in urn))
    for member in urn:
        if place < member[2]:
            return member
        place -= member[2]
    raise AssertionError("a place outside the urn")


def distinct(words, urn, seats):
    drawn = []
    while len(drawn) < seats and urn:
        member = draw_one(words, urn)
        drawn.append(member)
        urn = [other for other in urn if other[1] != member[1]]
    return sorted(drawn)


def panel(network, beacon, epoch, node, slot, members, seats):
    urn = urn_of(members)
    if seats >= len(urn) == len({operator for _, operator, _ in urn}):
        return urn
    return distinct(Words("assay/draw/1", network, beacon, epoch, node, slot), urn, seats)


def keepers(network, beacon, generation, node, members, count):
    return distinct(Words("assay/draw/keepers/1", network, beacon, generation, node), urn_of(members), count)


def committee(purpose, network, beacon, epoch, node, members, seats):
    urn = urn_of(members)
    if seats >= len(urn):
        return {identity: weight for identity, _, weight in urn}
    words = Words(f"assay/draw/{purpose}/1", network, beacon, epoch, node)
    votes = {}
    for _ in range(seats):
        identity = draw_one(words, urn)[0]
        votes[identity] = votes.get(identity, 0) + 1
    return votes


def proposers(network, beacon, epoch, round_number, members, count):
    words = Words("assay/draw/proposers/1", network, beacon, epoch, b"", round_number)
    turns, left = [], urn_of(members)
    while left and len(turns) < count:
        # Everybody whose operator has had no turn in this pass; when there is nobody, all that are left again.
        urn = left
        while urn and len(turns) < count:
            member = draw_one(words, urn)
            turns.append(member)
            urn = [other for other in urn if other[1] != member[1]]
        left = [other for other in left if other not in turns]
    return turns


# ---------------------------------------------------------------- 3. slots


def slot_state(seats):
    """seats: [(operator, cell)]; cell 1 answered, 2 unanswered -> 'up', 'down' or None"""
    def two_say(code):
        return len({operator for operator, cell in seats if cell == code}) >= 2

    if two_say(1):
        return "up"
    silent = sum(cell == 2 for _, cell in seats)
    return "down" if two_say(2) and 3 * silent >= 2 * len(seats) else None


def coverage(decided, slots):
    return D * decided // slots if slots else 0


# ---------------------------------------------------------------- 4. systemic subtraction


def excused(nodes, provider, slot, least):
    """nodes: [(provider, site, states)]; least: systemic_min_providers"""

    def units(which):
        sums = {}
        for node in nodes:
            if node[0] != provider and node[2][slot]:
                unit = sums.setdefault(node[which], [0, 0])
                unit[node[2][slot] == "down"] += 1
        return len(sums), sum(down > up for up, down in sums.values())

    (providers, providers_down), (sites, sites_down) = units(0), units(1)
    return providers >= least and half(providers_down, providers) and half(sites_down, sites)


# ---------------------------------------------------------------- 5. Wilson bounds


def ceil_div(a, b):
    return -(-a // b)


def ceil_sqrt(n):
    root = math.isqrt(n)
    return root if root * root == n else root + 1


def wilson(s, n):
    if n == 0 or s > n:
        return None
    root = ceil_sqrt(ceil_div(4 * D**3 * Z * s * (n - s), n) + D * D * Z * Z)
    middle, whole = D * (2 * D * s + Z), 2 * (D * n + Z)
    return s * D // n, (middle - root) // whole, min(D, ceil_div(middle + root, whole))


# ---------------------------------------------------------------- 6. quantiles


def quantile(values, quarters):
    """values: [(value, weight)]"""
    values = sorted(pair for pair in values if pair[1] > 0)
    needed = ceil_div(sum(weight for _, weight in values) * quarters, 4)
    reached = 0
    for value, weight in values:
        reached += weight
        if reached >= needed:
            return value
    return None


# ---------------------------------------------------------------- 7. verdict


def worst(findings):
    verdict = max((finding[0] for finding in findings), key=SEVERITY.get)
    reasons = 0
    for _, bits in findings:
        reasons |= bits
    return verdict, reasons


def weight_of(votes, *classes):
    return sum(vote["weight"] for vote in votes if vote["class"] in classes)


def attestation(votes, whole, tier_min):
    if half(weight_of(votes, "fail"), whole):
        return ("breach", ATTESTATION), 0
    if not two_thirds(weight_of(votes, "pass", "fail"), whole):
        return ("inconclusive", DATA), 0
    tiers = [(v["tier"] if v["class"] == "pass" else 0, v["weight"]) for v in votes if v["class"] in ("pass", "fail")]
    tier = quantile(tiers, 2) or 0
    tier = tier if processors(votes, whole) else min(tier, 2)
    return (("warned", TIER) if tier < tier_min else ("pass", 0)), tier


def availability(up, down, slots, target, coverage_min):
    bounds = wilson(up, up + down)
    if bounds is None:
        return "inconclusive", COVERAGE
    point, _, upper = bounds
    if upper < target:
        return "breach", AVAILABILITY
    reasons = (point < target) * AVAILABILITY | (coverage(up + down, slots) < coverage_min) * COVERAGE
    return ("warned" if reasons else "pass"), reasons


def chase(votes, whole, floors):
    """floors: (liveness, iops) -> finding, (rate, kind) or None"""
    passed = [vote for vote in votes if vote["class"] == "pass"]
    rates = [(vote["rate"], vote["weight"]) for vote in passed]
    median = quantile(rates, 2)
    kind = quantile([(vote["kind"], vote["weight"]) for vote in passed], 2) or 0
    rate = None if median is None else (median, kind)
    if half(weight_of(votes, "fail"), whole):
        return ("breach", CHASE), rate
    if rate is None or not two_thirds(weight_of(votes, "pass", "fail"), whole):
        return ("inconclusive", DATA), rate
    if median >= floors[kind]:
        return ("pass", 0), rate
    return (("breach" if quantile(rates, 3) < floors[kind] else "warned"), CHASE), rate


def agreed_owner(votes, whole):
    named = {}
    for vote in votes:
        if vote["owner"]:
            named[vote["owner"]] = named.get(vote["owner"], 0) + vote["weight"]
    return next((owner for owner, weight in named.items() if two_thirds(weight, whole)), None)


def processors(votes, whole):
    """What more than half of the votes that say something name, if more than two thirds do."""
    said = [vote for vote in votes if vote["class"] in ("pass", "fail")]
    enough = sum(vote["weight"] for vote in said)
    for chips in {vote["chips"] for vote in said} - {None}:
        if two_thirds(enough, whole) and half(sum(vote["weight"] for vote in said if vote["chips"] == chips), enough):
            return chips
    return None


# ---------------------------------------------------------------- 8. persistence


class Record:
    def __init__(self):
        self.last, self.breaches, self.trial = None, [], None

    def on_trial(self, epoch):
        return self.trial is not None and epoch >= self.trial[0]

    def observe(self, m, n, reaudit, epoch, verdict):
        """Whether a slash is due."""
        if self.last is not None and epoch <= self.last:
            return False
        self.last = epoch
        self.breaches = [e for e in self.breaches if epoch - e < n] + [epoch] * (verdict == "breach")
        if self.trial:
            return self.try_again(n, epoch, verdict)
        if len(self.breaches) < m:
            return False
        if reaudit:
            self.trial = (min(epoch + 2, 2**64 - 1), 0)
            return False
        self.breaches = []
        return True

    def try_again(self, n, epoch, verdict):
        start, clean = self.trial
        if epoch < start or verdict == "inconclusive":
            return False
        if verdict != "breach" and clean + 1 < n:
            self.trial = (start, clean + 1)
            return False
        self.breaches, self.trial = [], None
        return verdict == "breach"


# ---------------------------------------------------------------- 9. and 10. a whole epoch


UNJUDGED = {"finding": ("inconclusive", DATA), "tier": 0, "up": 0, "down": 0, "rate": None, "owner": None, "shown": None, "none": True}


class Epoch:
    """One epoch of a network; see `run`."""

    def __init__(self, case):
        self.case = case
        self.network, self.beacon = bytes.fromhex(case["network"]), bytes.fromhex(case["beacon"])
        self.members = as_list(case["members"])
        self.total = sum(weight for _, _, weight in self.members)
        self.reports = {bytes.fromhex(i): nodes for i, nodes in case["reports"].items()}
        self.seen = self.states_of_all() if case["systemic"] else []

    def panels(self, node):
        place = self.network, self.beacon, self.case["epoch"], bytes.fromhex(node)
        return [panel(*place, slot, self.members, self.case["panel"]) for slot in range(self.case["slots"])]

    def seats(self, node, cells, without=()):
        """cells: {id: [cell]}; the panel of each slot without these"""
        said = lambda i, slot: cells[i][slot] if i in cells else 0
        left = lambda slot, drawn: [(o, said(i, slot)) for i, o, _ in drawn if i not in without]
        return [left(slot, drawn) for slot, drawn in enumerate(self.panels(node))]

    def states(self, node, cells):
        return [slot_state(seats) for seats in self.seats(node, cells)]

    def states_without(self, node, cells, accusers):
        panels = self.seats(node, cells, accusers)
        alone = [seats[0][1] for seats in panels if len(seats) == 1]
        believed = alone.count(2) > alone.count(1)
        word = lambda cell: {1: "up", 2: "down"}.get(cell)
        return [word(seats[0][1]) if believed and len(seats) == 1 else slot_state(seats) for seats in panels]

    def accusers(self, node, cells):
        words = {i: [0, 0] for i, _, _ in self.members}
        for slot, drawn in enumerate(self.panels(node)):
            for i, _, _ in drawn:
                if i in cells and cells[i][slot] in (1, 2):
                    words[i][0] += cells[i][slot] == 2
                    words[i][1] += 1
        share = lambda i: Fraction(words[i][0], max(words[i][1], 1))
        found, weight = [], 0
        for i, _, w in sorted(urn_of(self.members), key=lambda member: (-share(member[0]), member[0])):
            weight += w
            if 3 * weight > self.total:
                break
            found.append(i)
        return found

    def census(self, claim, states):
        """up, down and whether a slot was excused"""
        hidden = 0
        for slot, state in enumerate(states):
            if state == "down" and self.seen and excused(self.seen, claim, slot, self.case["systemic"]):
                states[slot], hidden = None, SYSTEMIC
        return states.count("up"), states.count("down"), hidden

    def data(self, node, votes, use):
        found = []
        for identity, nodes in self.reports.items():
            if node in nodes and use(nodes[node]):
                found.append({**nodes[node], "id": identity, "weight": votes.get(identity, 0)})
        return found

    def states_of_all(self):
        stake = {identity: weight for identity, _, weight in self.members}
        fits = lambda entry: len(entry["cells"]) == self.case["slots"]
        seen = []
        for node in {node for nodes in self.reports.values() for node in nodes}:
            data = self.data(node, stake, fits)
            provider = agreed_owner(data, self.total)
            if provider:
                site = self.case["sites"].get(node, "of " + provider)
                seen.append((provider, site, self.states(node, {d["id"]: d["cells"] for d in data})))
        return seen

    def judge(self, node, claim, ownership, record):
        """A judgement, or None without quorum."""
        case, rules = self.case, self.case["class"]
        votes, whole = {i: w for i, _, w in self.members}, self.total
        if record.on_trial(case["epoch"]):
            seats = case["reaudit"] if case["reaudit"] >= 101 else len(self.members)
            votes = committee("reaudit", self.network, self.beacon, case["epoch"], bytes.fromhex(node), self.members, seats)
            whole = sum(votes.values())
        fits = lambda e: e["class_ok"] and len(e["cells"]) == case["slots"]
        data = self.data(node, votes, fits)
        jury = [item for item in data if item["id"] in votes]
        if not two_thirds(sum(item["weight"] for item in jury), whole):
            return None
        cells = {item["id"]: item["cells"] for item in data}
        up, down, hidden = self.census(claim, self.states(node, cells))
        promise = case["slots"], rules["target"], rules["coverage"]
        available = availability(up, down, *promise)
        if record.on_trial(case["epoch"]) and available[0] == "breach":
            others = self.census(claim, self.states_without(node, cells, self.accusers(node, cells)))
            without = availability(*others[:2], *promise)[0]
            available = without if without in ("breach", "inconclusive") else "warned", available[1]
        evidence = [{**v, "class": v["attest"]} for v in jury]
        attested, tier = attestation(evidence, whole, rules["tier"])
        chased, rate = chase([{**v, "class": v["chase"]} for v in jury], whole, rules["floors"])
        named = agreed_owner(jury, whole)
        holder, offered = ownership
        other = holder and named and named != holder and named not in offered
        finding = worst([
            attested,
            available,
            chased,
            ("warned", IDENTITY) if other else ("pass", 0),
            ("pass", hidden),
        ])
        return {"finding": finding, "tier": tier, "up": up, "down": down, "rate": rate, "owner": named, "shown": processors(evidence, whole)}

    def holder(self, confirmed, claims):
        """Whose the node is when the epoch begins: {provider: standing} are its registrations."""
        if confirmed in claims:
            return confirmed
        return next((provider for provider in claims if claims[provider] in ("owner", "leaving")), None)

    def look(self, node):
        """A node by itself: its state, its registrations, whose it is, its record, and how it is judged."""
        case = self.case
        prior = case["prior"].get(node, {"owner": None, "chips": None, "up": 0, "down": 0, "slash": 0, "history": []})
        record = Record()
        for epoch, verdict in prior["history"]:
            record.observe(*case["persistence"], case["reaudit"] > 0, epoch, verdict)
        claims = dict(sorted(case["claims"].get(node, [])))
        holder = self.holder(prior["owner"], claims)
        if not holder:
            record = Record()
        offered = {provider for provider, standing in claims.items() if standing == "offered"}
        stake = {identity: weight for identity, _, weight in self.members}
        first = agreed_owner(self.data(node, stake, lambda _: True), self.total)
        claim = holder or (first if first in claims else min(claims, default=None))
        judged = claim and claims[claim] != "leaving" and self.judge(node, claim, (holder, offered), record)
        before = prior["chips"] if holder and claims[holder] != "leaving" else None
        return prior, claims, (holder, offered, claim), record, judged or {**UNJUDGED}, before

    def winners(self, looks):
        """Who gets the processors that nodes show."""
        rank = lambda node: (looks[node][-1] != looks[node][-2]["shown"], looks[node][2][0] is None, node)
        shown = {}
        for node in sorted(looks, key=rank):
            shown.setdefault(looks[node][-2]["shown"], node)
        return shown

    def chips(self, node, judged, before):
        """What it is bound to if it has an owner, whether it shows another's, and the finding."""
        others = lambda chips: self.won.get(chips, node) != node
        shown, kept = judged["shown"], None if others(before) else before
        if not shown or shown == before:
            return shown or kept, False, ("pass", 0)
        if others(shown):
            return kept, True, ("warned", IDENTITY)
        return shown, False, ("warned", IDENTITY) if before else ("pass", 0)

    def node(self, node, look):
        """The leaf's words after the type, and what the node asks for: (owner, wei) or None."""
        case = self.case
        prior, claims, (holder, offered, claim), record, judged, before = look
        chips, taken, identity = self.chips(node, judged, before)
        owner, slash, asks = holder, int(prior["slash"]), None
        verdict, reasons = worst([judged["finding"], identity])
        if owner:
            due = record.observe(*case["persistence"], case["reaudit"] > 0, case["epoch"], verdict)
            money = case["class"]["money"]
            asks = (owner, money["reward_gwei"] * case["gwei"]) if verdict == "pass" else None
            slash += due * (money["collateral_gwei"] * case["gwei"] * money["slash_bps"] // 10_000)
            if claims[owner] == "leaving":
                owner = None
            elif judged["owner"] in offered and not record.breaches and not record.trial:
                owner = judged["owner"]
        elif judged["owner"] in claims and not taken:
            owner = judged["owner"]
        bounds = wilson(judged["up"], judged["up"] + judged["down"]) or (0, 0, D)
        shown = owner or (None if "none" in judged else claim) or holder or min(claims, default="00" * 20)
        decided = 0 if "none" in judged else coverage(judged["up"] + judged["down"], case["slots"])
        rate, kind = judged["rate"] or (0, 0)
        slots = [min(int(prior[way]) + judged[way], 2**64 - 1) for way in ("up", "down")]
        bound = int(chips or "0", 16) if owner else 0
        words = [case["epoch"], int(node, 16), int(shown, 16), int(owner is not None), bound, VERDICTS[verdict], reasons]
        words += [judged["tier"], *bounds, decided, rate, kind, *slots, min(slash, SATURATED)]
        return words, asks

    def absent(self):
        """Words of the leaves of who missed too many agreed epochs in a row, as long as enough are left."""
        case, limit = self.case, self.case["absent"]
        missed = {
            identity: int(case["missed"].get(identity.hex(), 0)) + 1
            for identity, _, weight in self.members
            if weight > 0 and identity.hex() not in case["reports"]
        }
        gone = []
        for identity in sorted(missed, key=lambda identity: (-min(missed[identity], 2**32 - 1), identity)):
            if limit and missed[identity] >= limit and self.can_judge(gone + [identity]):
                gone.append(identity)
        return [[case["epoch"], int.from_bytes(identity, "big"), limit] for identity in sorted(gone)]

    def can_judge(self, gone):
        case = self.case
        left = [operator for identity, operator, weight in self.members if weight > 0 and identity not in gone]
        return len(set(left)) >= max(case["panel"], 2)

    def run(self):
        case = self.case
        nodes = sorted(set(case["prior"]) | set(case["claims"]))
        looks = {node: self.look(node) for node in nodes}
        self.won = self.winners(looks)
        judged = [self.node(node, looks[node]) for node in nodes]
        earned = {provider: int(sum) for provider, sum in case["earned"].items()}
        earned = share_out(earned, [asks for _, asks in judged if asks], int(case["budget"]))
        if earned is None:
            return None
        leaves = [words for words, _ in judged]
        absent = self.absent()
        rewards = [[case["epoch"], int(provider, 16), earned[provider]] for provider in sorted(earned)]
        hashes = [leaf_hash(1, words) for words in leaves] + [leaf_hash(3, words) for words in rewards]
        hashes += [leaf_hash(4, words) for words in absent]
        decimal = lambda rows: [[str(word) for word in words] for words in rows]
        return {
            "leaves": decimal(leaves),
            "rewards": decimal(rewards),
            "absences": decimal(absent),
            "root": tree_root(hashes).hex(),
            "leaf_count": len(hashes),
            "cumulative_reward": str(sum(earned.values())),
        }


def share_out(earned, asked, budget):
    """What every provider has earned after the epoch, or None where the sums so far are impossible."""
    whole = sum(wei for _, wei in asked)
    if max(whole, sum(earned.values())) > SATURATED:
        return None
    given = min(whole, budget, SATURATED - sum(earned.values()))
    for owner, wei in asked:
        reward = math.floor(Fraction(given, whole) * wei) if whole else 0
        if reward:
            earned[owner] = earned.get(owner, 0) + reward
    return earned


def leaf_hash(kind, words):
    return keccak256(keccak256(b"".join(word.to_bytes(32, "big") for word in [kind, *words])))


def tree_root(row):
    row = sorted(row)
    while len(row) > 1:
        pairs = [row[i : i + 2] for i in range(0, len(row), 2)]
        row = [keccak256(b"".join(sorted(pair))) if len(pair) == 2 else pair[0] for pair in pairs]
    return row[0] if row else bytes(32)


# ---------------------------------------------------------------- Keccak-256 (the padding before FIPS 202)


def round_constants():
    register, constants = 1, []
    for _ in range(24):
        constant = 0
        for j in range(7):
            if register & 1:
                constant |= 1 << (2**j - 1)
            register <<= 1
            if register & 0x100:
                register ^= 0x171
        constants.append(constant)
    return constants


ROUND_CONSTANTS = round_constants()
MASK = 2**64 - 1


def rotate(lane, by):
    return (lane << by | lane >> (64 - by)) & MASK if by else lane


def keccak_f(a):
    for constant in ROUND_CONSTANTS:
        c = [a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4] for x in range(5)]
        d = [c[(x - 1) % 5] ^ rotate(c[(x + 1) % 5], 1) for x in range(5)]
        a = [[a[x][y] ^ d[x] for y in range(5)] for x in range(5)]
        b = [row[:] for row in a]
        x, y = 1, 0
        for t in range(24):
            source = a[x][y]
            x, y = y, (2 * x + 3 * y) % 5
            b[x][y] = rotate(source, (t + 1) * (t + 2) // 2 % 64)
        # b now holds rho and pi: lane (1,0) moved along the path of pi.
        a = [[b[x][y] ^ (~b[(x + 1) % 5][y] & MASK & b[(x + 2) % 5][y]) for y in range(5)] for x in range(5)]
        a[0][0] ^= constant
    return a


def keccak256(data):
    rate = 136
    padded = bytearray(data) + b"\x01" + bytes(-(len(data) + 1) % rate)
    padded[-1] |= 0x80
    a = [[0] * 5 for _ in range(5)]
    for start in range(0, len(padded), rate):
        for i in range(rate // 8):
            a[i % 5][i // 5] ^= int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little")
        a = keccak_f(a)
    return b"".join(a[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


# ---------------------------------------------------------------- cases


def as_list(members):
    return [(bytes.fromhex(i), o, int(w)) for i, o, w in members]


def run_draws(c):
    place = [bytes.fromhex(c["network"]), bytes.fromhex(c["beacon"]), c["period"], bytes.fromhex(c["node"])]
    members = as_list(c["members"])
    named = lambda drawn: [identity.hex() for identity, _, _ in drawn]
    votes = lambda purpose: {
        identity.hex(): str(seats) for identity, seats in committee(purpose, *place, members, c["seats"]).items()
    }
    return {
        "panel": named(panel(*place, c["slot"], members, c["seats"])),
        "keepers": named(keepers(*place, members, c["seats"])),
        "committee": votes("committee"),
        "reaudit": votes("reaudit"),
        "proposers": named(proposers(*place[:3], c["slot"], members, c["seats"])),
    }


def run_weights(c):
    staked = [(identity, operator, int(stake)) for identity, operator, stake in c["staked"]]
    weights = capped_weights(staked, c["cap_bps"])
    return weights if weights is None else {identity: str(weight) for identity, weight in weights.items()}


def run_persistence(c):
    record = Record()
    steps = [(epoch, verdict) for epoch, verdict in c["verdicts"]]
    return [record.observe(c["m"], c["n"], c["reaudit"], int(epoch), verdict) for epoch, verdict in steps]


def run_systemic(c):
    names = {"u": "up", "d": "down", "i": None}
    nodes = [(p, s, [names[state] for state in states]) for p, s, states in c["nodes"]]
    return [excused(nodes, c["provider"], slot, c["least"]) for slot in range(c["slots"])]


def run_rewards(c):
    earned = {provider: int(sum) for provider, sum in c["earned"].items()}
    earned = share_out(earned, [(owner, int(wei)) for owner, wei in c["asked"]], int(c["budget"]))
    return earned if earned is None else {provider: str(sum) for provider, sum in earned.items()}


def run_quantiles(c):
    values = [(int(value), int(weight)) for value, weight in c["values"]]
    found = [quantile(values, quarters) for quarters in (1, 2, 3)]
    return [None if value is None else str(value) for value in found]


RULES = {
    "weights": run_weights,
    "draws": run_draws,
    "slot": lambda c: slot_state([tuple(seat) for seat in c["seats"]]),
    "systemic": run_systemic,
    "wilson": lambda c: wilson(c["s"], c["n"]),
    "quantiles": run_quantiles,
    "persistence": run_persistence,
    "rewards": run_rewards,
    "tree": lambda c: tree_root([bytes.fromhex(leaf) for leaf in c["leaves"]]).hex(),
    "keccak": lambda c: keccak256(bytes.fromhex(c["data"])).hex(),
    "epoch": lambda c: Epoch(c).run(),
}


def main():
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(RULES[case["rule"]](case["in"])), flush=False)


if __name__ == "__main__":
    main()
