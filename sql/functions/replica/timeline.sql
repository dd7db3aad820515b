-- Names the timeline on which this server writes.
--
-- Invariant: another one of the same cluster means that a standby was promoted, or that the server
-- was recovered from an archive. A crash and a restart stay on theirs. So does a copy of the files
-- of a stopped server, or of a snapshot: nothing here tells these.

CREATE OR REPLACE FUNCTION kpi_engine.timeline()
RETURNS text
LANGUAGE plpgsql
VOLATILE PARALLEL RESTRICTED
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $timeline$
BEGIN
    -- A name of a file of the log begins with the eight digits of its timeline.
    RETURN (
        SELECT
            control.system_identifier || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)
        FROM pg_control_system() AS control
    );
END;
$timeline$;

COMMENT ON FUNCTION kpi_engine.timeline() IS
'Number of the cluster and of the timeline on which it writes now. Errors: 55000 on a standby. '
'Internal to kpi_engine.note_followed().';

REVOKE ALL ON FUNCTION kpi_engine.timeline() FROM public;
