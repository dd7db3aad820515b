-- Compares the published KPI views with their full definitions.
--
-- Invariant: only a view that no refresh would publish now (kpi_engine.view_staleness) is compared:
-- its definition gives what a refresh would. So a view that the gate holds is left out. A view of
-- tables of other services is left out too: only the refresh asks these. calculado_at does not
-- count. A view with a difference is stale from then on (by analytics.audit_log), until a refresh
-- publishes it.
-- A view that can't be compared does not stop the others. It is a warning.

CREATE OR REPLACE FUNCTION kpi_engine.audit_views()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A definition that casts an instant to a day or a text means the same in each session.
SET timezone = 'UTC'
SET row_security = off
SET jit = off
AS $audit_views$
DECLARE
    v_view record;
    v_scans bigint;
    v_found bigint;
    v_cells bigint := 0;
    v_message text;
    v_sqlstate text;
BEGIN
    FOR v_view IN
        SELECT
            staleness.view_name,
            staleness.relation,
            (
                SELECT kpi_views.time_column
                FROM kpi_engine.kpi_views(staleness.view_name) AS kpi_views
            ) AS time_column,
            coalesce(
                (
                    SELECT format(
                        'jsonb_build_array(%s)', string_agg(format('object -> %L', key.name), ', '))
                    FROM unnest(kpi_engine.key_columns(staleness.relation)) AS key (name)
                ),
                -- Without a key, rows are the same or not.
                'object'
            ) AS row_key
        FROM kpi_engine.view_staleness() AS staleness
        WHERE
            staleness.reason IS NULL
            AND staleness.relation IS NOT NULL
            AND NOT staleness.reads_outside
    LOOP
        BEGIN
            v_scans := kpi_engine.scans_so_far(v_view.relation);
            EXECUTE format(
                'WITH fresh AS MATERIALIZED (
                     SELECT object, %1$s AS key, row_number() OVER (PARTITION BY %1$s) AS place
                     FROM (
                         SELECT to_jsonb(shown) - ''calculado_at'' AS object FROM (%2$s) AS shown
                     ) AS computed
                 ),
                 published AS MATERIALIZED (
                     SELECT object, %1$s AS key, row_number() OVER (PARTITION BY %1$s) AS place
                     FROM (
                         SELECT to_jsonb(shown) - ''calculado_at'' AS object FROM %3$s AS shown
                     ) AS kept
                 ),
                 different AS MATERIALIZED (
                     SELECT
                         fresh.object AS fresh,
                         published.object AS published,
                         (coalesce(fresh.object, published.object) ->> %4$L)::date AS audited_day
                     FROM fresh
                     FULL JOIN published
                         ON published.key = fresh.key AND published.place = fresh.place
                     WHERE fresh.object IS DISTINCT FROM published.object
                 ),
                 noted AS (
                     INSERT INTO kpi_engine.audit_log
                         (table_name, local_day, column_name, cells, is_healed)
                     SELECT %5$L, different.audited_day, cell.column_name, count(*), false
                     FROM different
                     CROSS JOIN LATERAL (
                         SELECT ''row'' AS column_name
                         WHERE different.fresh IS NULL OR different.published IS NULL
                         UNION ALL
                         SELECT right_cell.key
                         FROM jsonb_each(different.fresh) AS right_cell
                         INNER JOIN jsonb_each(different.published) AS wrong_cell USING (key)
                         WHERE right_cell.value IS DISTINCT FROM wrong_cell.value
                     ) AS cell
                     GROUP BY different.audited_day, cell.column_name
                     RETURNING cells
                 )
                 SELECT coalesce(sum(cells), 0) FROM noted',
                v_view.row_key,
                kpi_engine.view_definition(v_view.relation),
                v_view.relation,
                v_view.time_column,
                v_view.view_name
            ) INTO v_found;
            INSERT INTO kpi_engine.own_scans (relation, scans)
            SELECT v_view.relation, own.scans
            FROM (SELECT kpi_engine.scans_so_far(v_view.relation) - v_scans AS scans) AS own
            WHERE own.scans > 0;
            IF v_found > 0 THEN
                RAISE LOG 'teloo-analytics: the audit found % wrong cell(s) in view %: the next '
                    'refresh publishes it', v_found, v_view.view_name;
            END IF;
            v_cells := v_cells + v_found;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS
                v_message := MESSAGE_TEXT,
                v_sqlstate := RETURNED_SQLSTATE;
            RAISE WARNING 'teloo-analytics: the audit could not compare view %: % (SQLSTATE %)',
                v_view.view_name, v_message, v_sqlstate
                USING DETAIL = 'The view keeps its contents; the other views go on.';
        END;
    END LOOP;
    RETURN v_cells;
END;
$audit_views$;

COMMENT ON FUNCTION kpi_engine.audit_views() IS
'Compares each KPI view that is up to date with its definition, but for calculado_at. Logs the '
'differences, and returns how many cells differed. The next refresh publishes these views. '
'Internal to analytics.audit().';

REVOKE ALL ON FUNCTION kpi_engine.audit_views() FROM public;
