-- Drops what was set aside, then the objects that this version does not have any more.

CREATE FUNCTION pg_temp.release_drop_removed()
RETURNS void
LANGUAGE plpgsql
AS $release_drop_removed$
DECLARE
    v_removed constant text[] := ARRAY(
        SELECT ledger.name FROM kpi_engine.migration_ledger AS ledger
        WHERE ledger.name NOT IN (SELECT release_files.name FROM pg_temp.release_files)
        ORDER BY ledger.name
    );
    v_views constant text[] := ARRAY(
        SELECT ledger.name FROM kpi_engine.migration_ledger AS ledger
        WHERE ledger.kind = 'materialized view' AND ledger.name = ANY (v_removed)
        ORDER BY ledger.name
    );
    v_view text;
    v_waiting text[];
    v_left text[];
    v_identity text;
    v_detail text;
BEGIN
    FOREACH v_view IN ARRAY v_views LOOP
        PERFORM pg_temp.release_hold_refreshes();
        PERFORM kpi_engine.retire_view(v_view);
    END LOOP;
    v_waiting := ARRAY(
        SELECT release_aside.identity FROM pg_temp.release_aside ORDER BY release_aside.place DESC
    ) || ARRAY(
        SELECT coalesce(
            'ROUTINE ' || found.identity,
            pg_temp.release_relation_kind(ledger.name) || ' '
            || pg_temp.release_quoted(ledger.name)
        )
        FROM kpi_engine.migration_ledger AS ledger
        LEFT JOIN LATERAL pg_temp.release_identities(ledger.name) AS found
            ON ledger.kind = 'function'
        WHERE
            ledger.name = ANY (v_removed)
            AND (
                found.identity IS NOT NULL
                OR (
                    ledger.kind <> 'function'
                    AND pg_temp.release_relation_kind(ledger.name) IS NOT NULL
                )
            )
        ORDER BY ledger.name
    );
    -- Readers first; it stops where somebody else's object reads one of them.
    WHILE v_waiting <> '{}' LOOP
        v_left := '{}';
        FOREACH v_identity IN ARRAY v_waiting LOOP
            BEGIN
                EXECUTE 'DROP ' || v_identity;
            EXCEPTION WHEN dependent_objects_still_exist THEN
                GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
                v_left := v_left || v_identity;
            END;
        END LOOP;
        IF cardinality(v_left) = cardinality(v_waiting) THEN
            RAISE EXCEPTION
                'other objects read what has to be replaced; nothing was changed: %', v_detail
                USING ERRCODE = 'dependent_objects_still_exist',
                      HINT = 'Drop them, run this file again, and create them again.';
        END IF;
        v_waiting := v_left;
    END LOOP;
    FOREACH v_identity IN ARRAY ARRAY(
        SELECT DISTINCT release_aside.schema_name FROM pg_temp.release_aside
    )
    LOOP
        EXECUTE format('DROP SCHEMA %I', v_identity);
    END LOOP;
    INSERT INTO pg_temp.release_changes (change)
    SELECT 'removed ' || coalesce(nullif(ledger.file, ''), ledger.name)
    FROM kpi_engine.migration_ledger AS ledger
    WHERE ledger.name = ANY (v_removed)
    ORDER BY ledger.name;
    DELETE FROM kpi_engine.migration_ledger WHERE migration_ledger.name = ANY (v_removed);
    PERFORM kpi_engine.refuse_vanished_columns();
    PERFORM kpi_engine.refuse_vanished_totals();
    PERFORM kpi_engine.refuse_vanished_views(v_views);
    PERFORM kpi_engine.forget_outside_sources();
    INSERT INTO pg_temp.release_changes (change)
    SELECT 'dropped derived table ' || forgotten.name
    FROM unnest(kpi_engine.forget_derived_tables()) AS forgotten (name);
END;
$release_drop_removed$;
