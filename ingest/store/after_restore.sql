-- What TimescaleDB wants after rows came back from a backup. Rows go through the hypertables as any others do, so its catalogue
-- needs no restoring mode; in that mode (timescaledb_pre_restore) a hypertable takes no rows at all.

-- name: refreshes
-- An aggregate shows below its watermark only what was refreshed, and its policy looks no further back than late readings come.
SELECT format('CALL refresh_continuous_aggregate(%%L, NULL, NULL)', view_name)
FROM timescaledb_information.continuous_aggregates ORDER BY view_name;
