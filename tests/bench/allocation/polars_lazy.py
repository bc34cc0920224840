"""Contender: Polars, lazy queries over long tables in memory."""

from __future__ import annotations

import polars as pl

from tests.bench.allocation.job import FACTOR_BITS, MODULUS_WH, Amounts, Job
from tests.bench.allocation.long_table import amounts, tables

Frames = dict[str, pl.DataFrame]


def prepare(job: Job) -> Frames:
    """Give the tables as data frames."""
    return {name: pl.DataFrame(columns) for name, columns in tables(job).items()}


def settle(frames: Frames) -> pl.DataFrame:
    """Climb the ladder: one row a known slot."""
    links = (
        frames["registers"]
        .lazy()
        .with_columns(
            last=pl.col("mark").shift(-1).over("node"),
            advance=pl.col("register").shift(-1).over("node") - pl.col("register"),
        )
        .filter(pl.col("last").is_not_null())
        .filter((pl.col("advance") >= 0) | ((pl.col("advance") + MODULUS_WH) * 100 <= MODULUS_WH))
        .join(frames["nodes"].lazy().select("node", "multiplier"), on="node")
        .with_columns(
            energy=(pl.when(pl.col("advance") < 0).then(pl.col("advance") + MODULUS_WH).otherwise(pl.col("advance")))
            * pl.col("multiplier"),
            slots=pl.col("last") - pl.col("mark"),
        )
    )
    single = links.filter(pl.col("slots") == 1).select("node", slot="mark", energy="energy")
    before, after = (pl.col("energy") * (pl.col("slot") - pl.col("mark") + step) // pl.col("slots") for step in (0, 1))
    gaps = (
        links.filter(pl.col("slots") > 1)
        .with_columns(slot=pl.int_ranges("mark", "last"))
        .explode("slot")
        .select("node", "slot", energy=after - before)
    )
    return pl.concat([single, gaps]).collect()


def run(job: Job, frames: Frames) -> tuple[Amounts, dict[str, float]]:
    """Do the job."""
    energy = settle(frames).lazy()
    nodes, ends, slots = (frames[name].lazy() for name in ("nodes", "ends", "slots"))
    below = (
        energy.join(nodes.select("node", "parent"), on="node")
        .filter(pl.col("parent") >= 0)
        .group_by("parent", "slot")
        .agg(below=pl.col("energy").sum(), known=pl.len())
        .rename({"parent": "node"})
    )
    flows = (
        nodes.filter(pl.col("children") > 0)
        .join(slots, how="cross")
        .join(below, on=["node", "slot"], how="left")
        .join(energy.rename({"energy": "intake"}), on=["node", "slot"], how="left")
        .with_columns(
            is_known=(pl.col("known") == pl.col("children")) & pl.col("intake").is_not_null(),
            below=pl.col("below").fill_null(0),
        )
        .with_columns(loss=pl.when(pl.col("is_known")).then(pl.col("intake") - pl.col("below")).otherwise(None))
        .collect()
    )
    levels = [flows.filter(pl.col("level") == 0).with_columns(above=pl.lit(0, pl.Int64))]
    factors = [factor(levels[0])]
    for level in (1, 2):
        above = factors[-1].rename({"node": "parent", "factor": "above"})
        factors.append(factor(flows.filter(pl.col("level") == level).join(above, on=["parent", "slot"])))
    loads = (
        energy.join(ends, on="node")
        .group_by("slot")
        .agg(keyed=(pl.col("energy") * pl.col("key")).sum())
        .join(slots, on="slot")
        .select("slot", load=pl.col("load_cost") // pl.col("keyed"))
    )
    carried = factors[2].lazy().rename({"node": "parent"})
    sums = (
        energy.join(ends.join(nodes, on="node").select("node", "parent"), on="node")
        .join(slots.select("slot", "band"), on="slot")
        .join(carried, on=["parent", "slot"])
        .join(loads, on="slot")
        .group_by("node", "band")
        .agg(
            own=pl.col("energy").sum(),
            lost=(pl.col("energy") * pl.col("factor")).sum(),
            loads=(pl.col("energy") * pl.col("load")).sum(),
        )
        .collect()
    )
    loss_nano = flows.select((pl.col("loss") * pl.col("rate")).sum()).item()
    return amounts(job, sums.iter_rows(), int(loss_nano)), {}


def factor(level: pl.DataFrame) -> pl.DataFrame:
    """Give the factor of each node of one level in each slot."""
    numerator = pl.col("above") * pl.col("intake") + pl.col("loss") * (1 << FACTOR_BITS)
    return level.select(
        "node",
        "slot",
        factor=pl.when(pl.col("loss").is_null())
        .then(pl.col("above"))
        .when(pl.col("below") == 0)
        .then(0)
        .otherwise(numerator // pl.when(pl.col("below") == 0).then(1).otherwise(pl.col("below"))),
    )
