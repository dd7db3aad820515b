-- Tells whether a materialized view shows something else than its definition gives now.
--
-- Invariant: calculado_at does not count. If there is a view of the same name with _base,
-- everything else follows from it. Then only its rows are compared, unless the audit found wrong
-- cells that no refresh has healed yet. A row that is there twice makes a difference, so that the
-- REFRESH fails by it.

CREATE OR REPLACE FUNCTION kpi_engine.view_differs(p_view_name text)
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A definition that casts an instant to a day or a text means the same in each session.
SET timezone = 'UTC'
SET jit = off
AS $view_differs$
DECLARE
    v_published constant regclass := format('analytics.%I', p_view_name)::regclass;
    -- A column of the base that the view does not show, such as ciudad_key, may have been wrong.
    v_base constant regclass := CASE
        WHEN NOT EXISTS (SELECT FROM kpi_engine.audit_log WHERE NOT audit_log.is_healed)
            THEN to_regclass(format('kpi_engine.%I', p_view_name || '_base'))
    END;
    v_columns text[];
    v_same_key text;
    v_differs boolean;
BEGIN
    SELECT array_agg(quote_ident(pg_attribute.attname) ORDER BY pg_attribute.attnum)
    INTO v_columns
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = v_published
        AND pg_attribute.attnum > 0
        AND NOT pg_attribute.attisdropped
        AND pg_attribute.attname <> 'calculado_at'
        AND (v_base IS NULL OR EXISTS (
            SELECT FROM pg_attribute AS base_column
            WHERE
                base_column.attrelid = v_base
                AND base_column.attname = pg_attribute.attname
        ));
    SELECT string_agg(format('fresh.%1$I = published.%1$I', key.name), ' AND ') INTO v_same_key
    FROM unnest(kpi_engine.key_columns(v_published)) AS key (name);
    EXECUTE format(
        'WITH fresh AS MATERIALIZED (SELECT %1$s FROM %2$s AS definition)
         SELECT %3$s',
        array_to_string(v_columns, ', '),
        coalesce(v_base::text, format('(%s)', rtrim(pg_get_viewdef(v_published), ';'))),
        CASE
            -- Where the day changes most rows, the first ones tell. Else a full join, which is hashed,
            -- finds the one that differs: a probe of the index for each row costs several times as
            -- much.
            WHEN v_same_key IS NOT NULL THEN format(
                'EXISTS (
                     SELECT FROM (SELECT * FROM fresh LIMIT 20) AS fresh
                     LEFT JOIN %1$s AS published ON %2$s
                     WHERE (%3$s) IS DISTINCT FROM (%4$s)
                 )
                 OR EXISTS (
                     SELECT FROM fresh FULL JOIN %1$s AS published ON %2$s
                     WHERE (%3$s) IS DISTINCT FROM (%4$s)
                 )
                 OR (SELECT count(*) FROM fresh) <> (SELECT count(*) FROM %1$s)',
                v_published, v_same_key,
                (SELECT string_agg('fresh.' || name, ', ') FROM unnest(v_columns) AS name),
                (SELECT string_agg('published.' || name, ', ') FROM unnest(v_columns) AS name)
            )
            ELSE format(
                '(SELECT count(*) FROM fresh) <> (SELECT count(*) FROM %2$s)
                 OR EXISTS (SELECT * FROM fresh EXCEPT ALL SELECT %1$s FROM %2$s)',
                array_to_string(v_columns, ', '), v_published
            )
        END
    ) INTO v_differs;
    RETURN v_differs;
END;
$view_differs$;

COMMENT ON FUNCTION kpi_engine.view_differs(text) IS
'True if a populated materialized view of schema analytics shows something else than its '
'definition gives at this moment. calculado_at does not count. Internal to '
'kpi_engine.refresh_view().';

REVOKE ALL ON FUNCTION kpi_engine.view_differs(text) FROM public;
