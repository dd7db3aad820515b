-- Brings rows of a mirror to what a site has answered, and notes the keys that changed.
--
-- Invariant: a row of the mirror that p_held selects goes if the answer does not have it. A row of
-- the answer without an id is gone at the site. Nothing stays written if a row is at another site,
-- too: error TH002.

CREATE OR REPLACE FUNCTION kpi_engine.take_answer(p_site text, p_table record, p_held text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $take_answer$
DECLARE
    v_clash record;
BEGIN
    EXECUTE format(
        'WITH answer AS MATERIALIZED (
             SELECT * FROM %1$s.dblink_get_result($1) AS answer (asked_key uuid, %2$s)
         ),
         fresh AS (SELECT * FROM answer WHERE id IS NOT NULL),
         clash AS (
             SELECT known.id, known.site FROM fresh INNER JOIN kpi_engine.%3$s AS known USING (id)
             WHERE known.site <> $2
             LIMIT 1
         ),
         -- Hashed, whatever the planner thinks of the sizes: it knows nothing of an answer.
         lost AS (
             SELECT held.id
             FROM fresh
             FULL JOIN (
                 SELECT known.id FROM kpi_engine.%3$s AS known
                 WHERE known.site = $2 AND %4$s
             ) AS held ON held.id = fresh.id
             WHERE fresh.id IS NULL
         ),
         gone AS (
             DELETE FROM kpi_engine.%3$s AS known
             WHERE known.id = ANY (ARRAY(SELECT lost.id FROM lost))
             RETURNING known.id
         ),
         come AS (
             INSERT INTO kpi_engine.%3$s AS known (site, %5$s)
             SELECT $2, %5$s FROM fresh
             ON CONFLICT (id) DO UPDATE SET (%6$s) = ROW(%7$s)
             WHERE known.site = excluded.site AND ROW(%8$s) IS DISTINCT FROM ROW(%7$s)
             RETURNING known.id
         ),
         noted AS (
             INSERT INTO kpi_engine.change_log (entity, key)
             SELECT %9$L, moved.id FROM (SELECT id FROM gone UNION ALL SELECT id FROM come) AS moved
         )
         SELECT clash.id, clash.site FROM (SELECT) AS one LEFT JOIN clash ON true',
        kpi_engine.dblink_schema(), p_table.types, p_table.mirror, p_held, p_table.columns,
        p_table.value_columns, p_table.excluded_values, p_table.known_values, p_table.entity
    ) INTO v_clash USING 'teloo_hub_' || p_site, p_site;
    IF v_clash.id IS NOT NULL THEN
        RAISE EXCEPTION '% % is at site %, too: a row belongs to one site',
            p_table.key_column, v_clash.id, v_clash.site
            USING ERRCODE = 'TH002';
    END IF;
END;
$take_answer$;

COMMENT ON FUNCTION kpi_engine.take_answer(text, record, text) IS
'Reads one answer of a site into the mirror of a table, a row of kpi_engine.mirrored_tables(). '
'p_held: a condition on known, the mirror: which rows the answer is about. Error TH002: a row is '
'at another site, too. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.take_answer(text, record, text) FROM public;
