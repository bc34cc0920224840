"""Contender: pandas, long tables with merges and groups."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.bench.allocation.job import FACTOR_BITS, MODULUS_WH, Amounts, Job
from tests.bench.allocation.long_table import amounts, tables

Frames = dict[str, pd.DataFrame]


def prepare(job: Job) -> Frames:
    """Give the tables as data frames."""
    return {name: pd.DataFrame(columns) for name, columns in tables(job).items()}


def settle(frames: Frames) -> pd.DataFrame:
    """Climb the ladder: one row a known slot."""
    links = frames["registers"].copy()
    by_node = links.groupby("node")
    links["last"] = by_node["mark"].shift(-1)
    links["advance"] = by_node["register"].shift(-1) - links["register"]
    links = links.dropna()
    links = links[(links["advance"] >= 0) | ((links["advance"] + MODULUS_WH) * 100 <= MODULUS_WH)]
    links = links.merge(frames["nodes"][["node", "multiplier"]], on="node")
    advance = links["advance"].where(links["advance"] >= 0, links["advance"] + MODULUS_WH).astype(np.int64)
    links["energy"] = advance * links["multiplier"]
    links["slots"] = links["last"].astype(np.int64) - links["mark"]
    single = links.loc[links["slots"] == 1, ["node", "mark", "energy"]].rename(columns={"mark": "slot"})
    gaps = links[links["slots"] > 1]
    gaps = gaps.loc[gaps.index.repeat(gaps["slots"])].copy()
    step = gaps.groupby(level=0).cumcount()
    gaps["slot"] = gaps["mark"] + step
    gaps["energy"] = gaps["energy"] * (step + 1) // gaps["slots"] - gaps["energy"] * step // gaps["slots"]
    return pd.concat([single, gaps[["node", "slot", "energy"]]], ignore_index=True)


def factor(level: pd.DataFrame) -> pd.DataFrame:
    """Give the factor of each node of one level in each slot."""
    known = level["is_known"].to_numpy()
    loss = np.where(known, level["loss"], 0).astype(np.int64)
    below, above = level["below"].to_numpy(), level["above"].to_numpy()
    numerator = above * level["intake"].to_numpy() + (loss << FACTOR_BITS)
    shared = np.where(below > 0, numerator // np.maximum(below, 1), 0)
    return pd.DataFrame({"node": level["node"], "slot": level["slot"], "factor": np.where(known, shared, above)})


def run(job: Job, frames: Frames) -> tuple[Amounts, dict[str, float]]:
    """Do the job."""
    energy, nodes, ends, slots = settle(frames), frames["nodes"], frames["ends"], frames["slots"]
    placed = energy.merge(nodes[["node", "parent"]], on="node")
    below = placed[placed["parent"] >= 0].groupby(["parent", "slot"])["energy"].agg(["sum", "count"]).reset_index()
    below.columns = pd.Index(["node", "slot", "below", "known"])
    flows = nodes[nodes["children"] > 0].merge(slots, how="cross").merge(below, on=["node", "slot"], how="left")
    flows = flows.merge(energy.rename(columns={"energy": "intake"}), on=["node", "slot"], how="left")
    flows["is_known"] = (flows["known"] == flows["children"]) & flows["intake"].notna()
    flows[["below", "intake"]] = flows[["below", "intake"]].fillna(0).astype(np.int64)
    flows["loss"] = flows["intake"] - flows["below"]
    found = factor(flows[flows["level"] == 0].assign(above=0))
    for level in (1, 2):
        above = found.rename(columns={"node": "parent", "factor": "above"})
        found = factor(flows[flows["level"] == level].merge(above, on=["parent", "slot"]))
    keyed = energy.merge(ends, on="node")
    keyed["keyed"] = keyed["energy"] * keyed["key"]
    loads = slots.merge(keyed.groupby("slot")["keyed"].sum().reset_index(), on="slot")
    loads["load"] = loads["load_cost"] // loads["keyed"]
    ended = placed.merge(ends[["node"]], on="node").merge(loads[["slot", "band", "load"]], on="slot")
    ended = ended.merge(found.rename(columns={"node": "parent"}), on=["parent", "slot"])
    ended["lost"], ended["loads"] = ended["energy"] * ended["factor"], ended["energy"] * ended["load"]
    sums = ended.groupby(["node", "band"])[["energy", "lost", "loads"]].sum().reset_index()
    lost = flows[flows["is_known"]]
    return amounts(job, sums.itertuples(index=False), int((lost["loss"] * lost["rate"]).sum())), {}
