-- Lets a refresh and a tick that are running end first.
--
-- Invariant: a refresh that comes now is told to wait, a tick returns at once. Else one of them and
-- this file could wait for each other.

CREATE FUNCTION pg_temp.release_hold_refreshes()
RETURNS void
LANGUAGE plpgsql
AS $release_hold_refreshes$
BEGIN
    PERFORM pg_temp.release_lock('teloo-analytics refresh');
    -- Which shows that this is no stranger (analytics.lock_holders).
    IF to_regclass('kpi_engine.refresh_lock') IS NOT NULL THEN
        LOCK TABLE kpi_engine.refresh_lock IN EXCLUSIVE MODE;
    END IF;
    IF to_regclass('kpi_engine.tick_lock') IS NOT NULL THEN
        LOCK TABLE kpi_engine.tick_lock IN EXCLUSIVE MODE;
    END IF;
END;
$release_hold_refreshes$;
