-- The checksum of the time zone's rules is computed in another way. If the old one still holds, the
-- rules are the same. If not, it stays, and the next refresh computes everything again.

UPDATE kpi_engine.engine_state SET
    zone_rules = (
        SELECT
            hash_array_extended(
                array_agg(days.day AT TIME ZONE engine_state.time_zone ORDER BY days.day), 0
            )::text
        FROM generate_series(
            engine_state.zone_from::timestamp, engine_state.zone_until::timestamp,
            interval '1 day'
        ) AS days (day)
    )
WHERE engine_state.zone_rules = (
    SELECT
        sum(hashint8extended(
            extract(
                EPOCH FROM (engine_state.zone_from + days.day)::timestamp
                AT TIME ZONE engine_state.time_zone
            )::bigint,
            days.day
        ))::text
    FROM generate_series(0, engine_state.zone_until - engine_state.zone_from) AS days (day)
);
