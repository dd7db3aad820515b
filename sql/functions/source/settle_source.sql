-- Makes sure that the src_ views read what the names of the contract mean, or raises.
--
-- Invariant: when this returns, they do, and everything that has to be computed again because of a
-- change is marked. It binds again only if that is certain: each view reads the table that has the
-- name, and its text stays the same. That is so after a restore. All other cases are for make
-- migrate. Until then this raises an error that names the difference.

CREATE OR REPLACE FUNCTION kpi_engine.settle_source()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $settle_source$
DECLARE
    v_state kpi_engine.engine_state;
    v_now record;
    v_moved text[];
BEGIN
    IF kpi_engine.collation_fault() IS NOT NULL THEN
        PERFORM kpi_engine.require_source(true);
    END IF;
    v_now := kpi_engine.source_now();
    SELECT engine_state.* INTO STRICT v_state FROM kpi_engine.engine_state;
    IF v_state.source_binding = v_now.binding
        AND v_state.source_values = v_now.enum_values
        AND v_now.is_readable THEN
        RETURN;
    END IF;
    IF v_state.source_binding IS NULL
        OR (
            v_state.source_binding <> v_now.binding
            AND NOT EXISTS (
                SELECT FROM jsonb_each(v_now.binding) AS fresh
                WHERE fresh.value ->> 'table' IS DISTINCT FROM fresh.value ->> 'reads'
            )
        ) THEN
        BEGIN
            IF v_state.source_binding IS NOT NULL THEN
                PERFORM kpi_engine.hold_source();
            END IF;
            v_moved := kpi_engine.bind_source_views();
            IF cardinality(v_moved) > 0 THEN
                RAISE EXCEPTION 'moved' USING ERRCODE = 'TL001';
            END IF;
            PERFORM kpi_engine.note_source_binding();
            RETURN;
        EXCEPTION
            -- This undoes the attempt. The error below says what is wrong.
            WHEN SQLSTATE 'TL001' OR undefined_table OR ambiguous_parameter
                OR insufficient_privilege OR invalid_table_definition THEN
                NULL;
        END;
    END IF;
    PERFORM kpi_engine.require_source(true);
    IF v_state.source_values <> v_now.enum_values THEN
        -- Somebody renamed an enum value that no rule names, or changed the expression of a
        -- generated column.
        IF NOT kpi_engine.same_values(v_state.source_values, v_now.enum_values) THEN
            PERFORM kpi_engine.note_rebuild_reason('values of the source got other names');
        END IF;
        UPDATE kpi_engine.engine_state SET source_values = v_now.enum_values;
    END IF;
END;
$settle_source$;

COMMENT ON FUNCTION kpi_engine.settle_source() IS
'Checks that the src_ views read the tables and columns that have the names of the contract, and '
'binds again after a restore. Errors: 55000 says what was moved, renamed, dropped or hidden, and '
'what mends it. Internal to the refresh and the tick.';

REVOKE ALL ON FUNCTION kpi_engine.settle_source() FROM public;
