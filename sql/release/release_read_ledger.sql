-- Refuses a database that these files do not continue.

CREATE FUNCTION pg_temp.release_read_ledger()
RETURNS void
LANGUAGE plpgsql
AS $release_read_ledger$
DECLARE
    v_version constant text := (SELECT release_run.version FROM pg_temp.release_run);
    v_installed text;
    v_name text;
    v_lost text[];
BEGIN
    IF to_regclass('kpi_engine.migration_ledger') IS NULL THEN
        RETURN;
    END IF;
    IF to_regproc('kpi_engine.empty_own_table') IS NOT NULL THEN
        v_name := kpi_engine.empty_own_table();
        IF v_name IS NOT NULL THEN
            RAISE EXCEPTION
                'teloo-analytics was restored without its data: % is empty; nothing was changed',
                v_name
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Take it away (make uninstall) and install anew.';
        END IF;
    END IF;
    -- Older versions have no such column.
    SELECT to_jsonb(installation) ->> 'version' INTO v_installed FROM kpi_engine.installation;
    IF string_to_array(v_installed, '.')::integer[] > string_to_array(v_version, '.')::integer[] THEN
        RAISE EXCEPTION 'the database has teloo-analytics %, this file is the older %; nothing was changed',
            v_installed, v_version
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('Take the file of %s or a newer one.', v_installed);
    END IF;
    IF (SELECT installation.source_schema = 'kpi_engine' FROM kpi_engine.installation) THEN
        RAISE EXCEPTION 'this database is a hub, which this file can''t upgrade; nothing was changed'
            USING ERRCODE = 'feature_not_supported',
                  HINT = format('Take the tree of version %s, and: make migrate', v_version);
    END IF;
    SELECT min(ledger.name) INTO v_name
    FROM kpi_engine.migration_ledger AS ledger
    LEFT JOIN pg_temp.release_files USING (name)
    WHERE ledger.kind = 'migration' AND release_files.name IS NULL;
    IF v_name IS NOT NULL THEN
        RAISE EXCEPTION
            'the database is newer than this file: sql/% was applied and is not here; nothing was changed',
            v_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Take the version of teloo-analytics that has it, or a newer one.';
    END IF;
    SELECT min(ledger.name) INTO v_name
    FROM kpi_engine.migration_ledger AS ledger
    INNER JOIN pg_temp.release_files USING (name)
    WHERE ledger.kind = 'migration' AND ledger.checksum <> release_files.checksum;
    IF v_name IS NOT NULL THEN
        RAISE EXCEPTION
            'the database has another sql/% than this file; nothing was changed', v_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'It was not installed from a release. Upgrade it with make migrate.';
    END IF;
    v_lost := ARRAY(
        SELECT release_made.name FROM pg_temp.release_made
        WHERE
            release_made.made_in IN (SELECT ledger.name FROM kpi_engine.migration_ledger AS ledger)
            AND NOT EXISTS (
                SELECT FROM kpi_engine.migration_ledger AS ledger
                WHERE ledger.name = release_made.gone_in
            )
            AND to_regclass(release_made.name) IS NULL
            AND to_regtype(release_made.name) IS NULL
        ORDER BY release_made.place
    );
    IF v_lost <> '{}' THEN
        RAISE EXCEPTION
            '% % gone, and this file can''t make it again: a migration runs once; nothing was changed',
            array_to_string(v_lost, ', '),
            CASE cardinality(v_lost) WHEN 1 THEN 'is' ELSE 'are' END
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Restore the database from a backup. Or take all away and install anew, '
                      'which loses the history of the KPIs: make uninstall; this file; then '
                      'SELECT * FROM refresh_all_mv();';
    END IF;
    SELECT min(release_files.name) INTO v_name
    FROM pg_temp.release_files
    WHERE
        release_files.kind = 'migration'
        AND release_files.name NOT IN (SELECT ledger.name FROM kpi_engine.migration_ledger AS ledger)
        AND release_files.version < (
            SELECT max(ledger.version) FROM kpi_engine.migration_ledger AS ledger
        );
    IF v_name IS NOT NULL THEN
        RAISE EXCEPTION
            'sql/% is new, but comes before a migration that was applied; nothing was changed', v_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'It was not installed from a release. Upgrade it with make migrate.';
    END IF;
END;
$release_read_ledger$;
