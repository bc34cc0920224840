-- The job of job.py in SQL, for DuckDB as it stands and for PostgreSQL with / in place of //.
-- Tables given: registers (node, mark, register), only what was read; nodes (node, parent, level, multiplier, children);
-- ends (node, key); slots (slot, band, rate, load_cost). Integers only; the quotient of factors is rounded down.

CREATE TEMP TABLE energy AS
WITH links AS (
    SELECT node, mark AS first, lead(mark) OVER series AS last, lead(register) OVER series - register AS advance
    FROM registers
    WINDOW series AS (PARTITION BY node ORDER BY mark)
), known AS (
    SELECT links.node, first, last,
           CASE WHEN advance < 0 THEN advance + 1000000000 ELSE advance END * multiplier AS energy
    FROM links
    JOIN nodes ON nodes.node = links.node
    WHERE last IS NOT NULL AND (advance >= 0 OR (advance + 1000000000) * 100 <= 1000000000)
)
SELECT node, first AS slot, energy FROM known WHERE last = first + 1
UNION ALL
SELECT node, slot, energy * (slot - first + 1) // (last - first) - energy * (slot - first) // (last - first)
FROM known
JOIN slots ON slot >= first AND slot < last
WHERE last > first + 1;

CREATE TEMP TABLE flows AS
WITH below AS (
    SELECT parent AS node, slot, sum(energy) AS below, count(*) AS known
    FROM energy
    JOIN nodes ON nodes.node = energy.node
    WHERE parent >= 0
    GROUP BY parent, slot
)
SELECT nodes.node, parent, level, slots.slot, rate, CAST(coalesce(below, 0) AS bigint) AS below, coalesce(energy, 0) AS intake,
       CAST(CASE WHEN known = children AND energy IS NOT NULL THEN energy - below END AS bigint) AS loss
FROM nodes
CROSS JOIN slots
LEFT JOIN below ON below.node = nodes.node AND below.slot = slots.slot
LEFT JOIN energy ON energy.node = nodes.node AND energy.slot = slots.slot
WHERE children > 0;

CREATE TEMP TABLE factors AS
SELECT flows.node, flows.slot,
       CASE WHEN loss IS NULL THEN above WHEN below = 0 THEN 0
            ELSE (numerator - ((numerator % below) + below) % below) // below END AS factor
FROM (SELECT *, 0::bigint AS above, loss * 1099511627776 AS numerator FROM flows WHERE level = 0) AS flows;

INSERT INTO factors
SELECT flows.node, flows.slot,
       CASE WHEN loss IS NULL THEN above WHEN below = 0 THEN 0
            ELSE (numerator - ((numerator % below) + below) % below) // below END
FROM (SELECT one.*, factor AS above, factor * intake + loss * 1099511627776 AS numerator
      FROM flows AS one JOIN factors ON factors.node = parent AND factors.slot = one.slot WHERE level = 1) AS flows;

INSERT INTO factors
SELECT flows.node, flows.slot,
       CASE WHEN loss IS NULL THEN above WHEN below = 0 THEN 0
            ELSE (numerator - ((numerator % below) + below) % below) // below END
FROM (SELECT one.*, factor AS above, factor * intake + loss * 1099511627776 AS numerator
      FROM flows AS one JOIN factors ON factors.node = parent AND factors.slot = one.slot WHERE level = 2) AS flows;

CREATE TEMP TABLE loads AS
SELECT energy.slot, load_cost // CAST(sum(energy * key) AS bigint) AS load
FROM energy
JOIN ends ON ends.node = energy.node
JOIN slots ON slots.slot = energy.slot
GROUP BY energy.slot, load_cost;

CREATE TEMP TABLE sums AS
SELECT energy.node, band, sum(energy) AS own, sum(energy * factor) AS lost, sum(energy * load) AS loads
FROM energy
JOIN ends ON ends.node = energy.node
JOIN nodes ON nodes.node = energy.node
JOIN slots ON slots.slot = energy.slot
JOIN factors ON factors.node = parent AND factors.slot = energy.slot
JOIN loads ON loads.slot = energy.slot
GROUP BY energy.node, band;
