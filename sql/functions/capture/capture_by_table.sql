-- Shows how change capture works on each source table and partition.
--
-- Invariant: is_working if all its triggers exist and fire for each writer. is_lossless if nothing
-- can have been missed in any case: a partition without rows and without triggers of its own has
-- nothing to miss, because the tables above it note what goes through them.

CREATE OR REPLACE FUNCTION kpi_engine.capture_by_table()
RETURNS TABLE (
    relation oid,
    view_name text,
    place text,
    is_working boolean,
    is_lossless boolean,
    subscription text,
    row_version text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
ROWS 20
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
-- A few rows of the catalog, by its indexes, whatever its statistics say.
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $capture_by_table$
#variable_conflict use_column
DECLARE
    -- Usually there is no subscription.
    v_is_subscriber constant boolean := EXISTS (SELECT FROM pg_subscription_rel);
BEGIN
    RETURN QUERY
        SELECT
            triggers.relation,
            triggers.view_name,
            triggers.place,
            triggers.is_working,
            triggers.is_working OR (
                triggers.place = 'part'
                AND triggers.relation_kind IN ('r', 'p')
                AND NOT kpi_engine.has_rows(triggers.relation)
            ),
            CASE WHEN v_is_subscriber AND NOT triggers.is_working THEN (
                SELECT min(pg_subscription.subname::text)
                FROM pg_subscription_rel
                INNER JOIN pg_subscription ON pg_subscription.oid = pg_subscription_rel.srsubid
                WHERE pg_subscription_rel.srrelid IN (
                    SELECT triggers.relation
                    UNION ALL
                    SELECT above.relid FROM pg_partition_ancestors(triggers.relation) AS above
                )
            ) END,
            CASE
                WHEN triggers.is_working THEN concat(triggers.row_versions, CASE
                    -- A crash empties an unlogged table, and no trigger fires.
                    WHEN pg_class.relpersistence = 'u' THEN kpi_engine.unlogged_since()
                END)
            END
        FROM (
            SELECT
                capture_triggers.relation,
                capture_triggers.relation_kind,
                capture_triggers.view_name,
                capture_triggers.place,
                bool_and(capture_triggers.is_working) AS is_working,
                string_agg(
                    capture_triggers.row_version, ' ' ORDER BY capture_triggers.trigger_name
                ) AS row_versions
            FROM kpi_engine.capture_triggers(p_with_strays => false)
            GROUP BY
                capture_triggers.relation, capture_triggers.relation_kind,
                capture_triggers.view_name, capture_triggers.place
        ) AS triggers
        INNER JOIN pg_class ON pg_class.oid = triggers.relation;
END;
$capture_by_table$;

COMMENT ON FUNCTION kpi_engine.capture_by_table() IS
'For each source table and partition: whether all its triggers of change capture work, whether '
'nothing can be missed, the subscription that writes it while they don''t (NULL: none), and the '
'versions of its triggers (NULL: they do not all work). Internal.';

REVOKE ALL ON FUNCTION kpi_engine.capture_by_table() FROM public;
