-- Stops where new tables or columns of ours would stop the subscribers of the source.

CREATE FUNCTION pg_temp.release_refuse_publications()
RETURNS void
LANGUAGE plpgsql
AS $release_refuse_publications$
DECLARE
    v_broad record;
BEGIN
    IF to_regclass('kpi_engine.migration_ledger') IS NOT NULL THEN
        IF NOT EXISTS (
            SELECT FROM pg_temp.release_files
            WHERE
                (release_files.kind = 'migration' OR release_files.derived_table IS NOT NULL)
                AND NOT EXISTS (
                    SELECT FROM kpi_engine.migration_ledger AS ledger
                    WHERE
                        ledger.name = release_files.name
                        AND ledger.kind = release_files.kind
                        AND ledger.checksum = release_files.checksum
                )
        ) THEN
            -- No table is made.
            RETURN;
        END IF;
    END IF;
    FOR v_broad IN
        SELECT broad.message, broad.hint
        FROM kpi_engine.broad_publications() AS broad (publication, message, hint)
    LOOP
        RAISE EXCEPTION '%; nothing was changed', v_broad.message
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = v_broad.hint;
    END LOOP;
END;
$release_refuse_publications$;
