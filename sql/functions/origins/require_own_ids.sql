-- Refuses to count rows of different origins that have the same id.
--
-- Invariant: when this returns, no id of these keys' rows is in two origins. Otherwise one of the
-- two rows would be left out, or both would be counted as different things, without an error.

CREATE OR REPLACE FUNCTION kpi_engine.require_own_ids(p_changes kpi_engine.changed_keys[])
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $require_own_ids$
DECLARE
    v_messages text[];
    v_clashes bigint;
BEGIN
    SELECT
        array_agg(listed.message ORDER BY listed.place) FILTER (WHERE listed.place <= 20),
        count(*)
    INTO v_messages, v_clashes
    FROM (
        SELECT
            format(
                '%s %s is in %s', clashes.table_name, clashes.row_id,
                array_to_string(clashes.origenes, ' and ')
            ) AS message,
            row_number() OVER (ORDER BY clashes.table_name, clashes.row_id) AS place
        FROM kpi_engine.clashes_of_keys(p_changes) AS clashes
    ) AS listed;
    IF v_clashes = 0 THEN
        RETURN;
    END IF;
    -- Health and the log of refreshes have the message alone.
    RAISE EXCEPTION 'rows of different origins have the same id: %. %',
        array_to_string(v_messages[1:3], '; ') || CASE
            WHEN v_clashes > 3 THEN format('; and %s more', v_clashes - 3)
            ELSE ''
        END,
        'Delete the one that does not belong there, or give it another id: SELECT * FROM '
        'analytics.origin_clashes() lists all'
        USING ERRCODE = 'unique_violation',
              DETAIL = array_to_string(v_messages, E'\n')
                  || E'\nNothing was counted: the views keep their contents.',
              HINT = 'Then the next refresh goes on by itself.';
END;
$require_own_ids$;

COMMENT ON FUNCTION kpi_engine.require_own_ids(kpi_engine.changed_keys[]) IS
'Raises 23505 where rows of different origins that belong to these changed keys have the same id, '
'or with NULL any rows. It names table, id and origins. Internal: asked before rows are counted.';

REVOKE ALL ON FUNCTION kpi_engine.require_own_ids(kpi_engine.changed_keys[]) FROM public;
