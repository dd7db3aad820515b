-- Naive: cron.schedule(…, '0 1 * * *', …) for a refresh at one in the night.
--
-- Wrong: pg_cron reads the schedule by its own clock, UTC. This gives the instant at which it
-- would fire on 2026-11-23 and what the clocks in Bogotá show then: 20:00, of the day before.

SELECT
    timestamp '2026-11-23 01:00' AT TIME ZONE 'UTC' AS fires_at,
    timestamp '2026-11-23 01:00' AT TIME ZONE 'UTC' AT TIME ZONE 'America/Bogota' AS in_bogota;
