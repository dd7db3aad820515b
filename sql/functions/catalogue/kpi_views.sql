-- Lists the KPI views that the catalogue and the API serve.
--
-- Invariant: a KPI view is a materialized view mv_… of schema analytics that has a COMMENT of the
-- right form and a key. There is no list. The grain of a view is its time: the column of type date
-- in its key.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_views(p_view_name text DEFAULT NULL)
RETURNS TABLE (
    view_name text,
    relation regclass,
    title_es text,
    title_en text,
    description_es text,
    description_en text,
    key_columns text[],
    time_column text,
    grain text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- Planning again takes three times as long as reading.
SET plan_cache_mode = force_generic_plan
AS $kpi_views$
#variable_conflict use_column
BEGIN
    -- PL/pgSQL keeps the plan: each request for a KPI calls this.
    RETURN QUERY
        SELECT
            pg_class.relname::text,
            pg_class.oid::regclass,
            comment.name_es,
            comment.name_en,
            comment.description_es,
            comment.description_en,
            key.columns,
            clock.name,
            CASE clock.name
                WHEN 'dia' THEN 'day'
                WHEN 'semana' THEN 'week'
                WHEN 'mes' THEN 'month'
                ELSE CASE key.columns[1]
                    WHEN 'asesor_id' THEN 'advisor'
                    ELSE key.columns[1]
                END
            END
        FROM unnest(
            -- With a name, this finds the view by index.
            CASE WHEN p_view_name IS NULL
                THEN ARRAY(
                    SELECT named.oid FROM pg_class AS named
                    WHERE named.relnamespace = 'analytics'::regnamespace AND named.relkind = 'm'
                )
                ELSE ARRAY(
                    SELECT named.oid FROM pg_class AS named
                    WHERE
                        named.relnamespace = 'analytics'::regnamespace
                        AND named.relname = p_view_name
                )
            END
        ) AS named (oid)
        INNER JOIN pg_class ON pg_class.oid = named.oid
        INNER JOIN pg_description
            ON pg_description.classoid = 'pg_class'::regclass
            AND pg_description.objoid = pg_class.oid
            AND pg_description.objsubid = 0
        INNER JOIN LATERAL kpi_engine.kpi_comment(pg_description.description)
            AS comment ON comment.name_en IS NOT NULL
        INNER JOIN LATERAL kpi_engine.key_columns(pg_class.oid)
            AS key (columns) ON key.columns IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT pg_attribute.attname::text AS name
            FROM pg_attribute
            WHERE
                pg_attribute.attrelid = pg_class.oid
                AND pg_attribute.attname = ANY (key.columns)
                AND pg_attribute.atttypid = 'date'::regtype
            LIMIT 1
        ) AS clock ON true
        WHERE
            pg_class.relkind = 'm'
            AND pg_class.relname LIKE 'mv\_%'
            -- We may have no right on a view of another owner. NULL: it was just replaced.
            AND (
                pg_class.relowner = 'analytics_owner'::regrole
                OR coalesce(has_table_privilege(pg_class.oid, 'SELECT'), true)
            )
        ORDER BY pg_class.relname;
END;
$kpi_views$;

COMMENT ON FUNCTION kpi_engine.kpi_views(text) IS
'The KPI views, or the one of a name: title and descriptions of its COMMENT, columns of its key, '
'the one that is a time (NULL without), grain (day, week, month, advisor or the first column of '
'the key).';

REVOKE ALL ON FUNCTION kpi_engine.kpi_views(text) FROM public;
