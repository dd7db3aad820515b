-- GET /materialized-views/targets: the targets of KPI columns.
--
-- Invariant: only views that the caller may read, and targets whose view is gone. The ETag changes
-- with the answer.

CREATE OR REPLACE FUNCTION api.targets(view text DEFAULT NULL, limite text DEFAULT NULL)
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $targets$
DECLARE
    v_limit constant integer := kpi_engine.integer_parameter('limit', limite, 1, 1000, 1000);
    v_hidden text[];
    v_answer json;
BEGIN
    v_hidden := kpi_engine.hidden_views();
    IF NOT EXISTS (
        -- Those of a view that is gone can be read, too.
        SELECT FROM kpi_engine.targets AS target
        WHERE target.view_name = targets.view AND target.view_name <> ALL (v_hidden)
    ) THEN
        PERFORM kpi_engine.choice_parameter('view', view, VARIADIC ARRAY(
            SELECT kpi.view_name
            FROM kpi_engine.kpi_views() AS kpi
            WHERE kpi.view_name <> ALL (v_hidden)
        ));
    END IF;
    SELECT json_agg(shown)
    INTO v_answer
    FROM (
        SELECT
            target.view_name AS view,
            target.column_name AS column,
            target.first_period AS "from",
            target.next_from,
            target.value,
            target.better,
            target.label_es,
            target.set_by,
            kpi_engine.iso_instant(target.set_at) AS set_at,
            target.stale
        FROM kpi_engine.known_targets(targets.view) AS target
        WHERE target.view_name <> ALL (v_hidden)
        ORDER BY target.view_name, target.column_name, target.first_period
        LIMIT v_limit
    ) AS shown;
    PERFORM kpi_engine.begin_reading_all('targets-' || md5(coalesce(v_answer::text, '')));
    IF kpi_engine.csv_is_wanted() THEN
        PERFORM set_config(
            'analytics.answer_columns',
            '["view", "column", "from", "next_from", "value", "better", "label_es", "set_by", '
            '"set_at", "stale"]',
            true);
    END IF;
    RETURN coalesce(v_answer, '[]');
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('targets', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$targets$;

COMMENT ON FUNCTION api.targets(text, text) IS
'Targets of KPI columns, by view, column and period. A target holds from its period until '
'next_from, or for ever. better: up (value or more is right) or down (value or less). stale: why '
'the target can''t be compared with anything; null: it can. view: only the targets of this view. '
'limit: 1 to 1000, default 1000.';

REVOKE ALL ON FUNCTION api.targets(text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.targets(text, text) TO analytics_lector, analytics_operador;
