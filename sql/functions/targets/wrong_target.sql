-- Names what is wrong with a target that somebody wants to set.
--
-- Invariant: no row if and only if the target can be set. At most one row: the first wrong
-- parameter, by its name in the HTTP API. Each rule is only here: SQL and HTTP ask this function.

CREATE OR REPLACE FUNCTION kpi_engine.wrong_target(
    p_view_name text, p_column_name text, p_first_period date, p_value numeric, p_better text
)
RETURNS TABLE (parameter text, given text, right_values text)
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $wrong_target$
DECLARE
    v_view record;
    v_column record;
BEGIN
    SELECT kpi.* INTO v_view
    FROM kpi_engine.kpi_views(coalesce(p_view_name, '')) AS kpi
    WHERE has_table_privilege(kpi_engine.api_caller(), kpi.relation, 'SELECT');
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'view', p_view_name, 'one of ' || kpi_engine.readable_kpi_views();
        RETURN;
    END IF;
    SELECT kpi.* INTO v_column
    FROM kpi_engine.kpi_columns(v_view.relation) AS kpi
    WHERE kpi.column_name = p_column_name AND kpi.is_number;
    IF NOT FOUND THEN
        RETURN QUERY
            SELECT
                'column',
                p_column_name,
                format(
                    'a column of %s that is a number: %s', p_view_name,
                    string_agg(kpi.column_name, ', ')
                )
            FROM kpi_engine.kpi_columns(v_view.relation) AS kpi
            WHERE kpi.is_number;
    ELSIF p_first_period IS NULL
        OR NOT isfinite(p_first_period)
        OR p_first_period NOT BETWEEN '0001-01-01' AND '9999-12-31'
        OR v_view.time_column IS NOT NULL
        AND date_trunc(v_view.grain, p_first_period::timestamp)::date <> p_first_period THEN
        RETURN QUERY
            SELECT
                'from',
                p_first_period::text,
                kpi_engine.period_words(
                    CASE WHEN v_view.time_column IS NOT NULL THEN v_view.grain END
                );
    ELSIF p_value IS NULL
        OR p_value = 'NaN'
        OR abs(p_value) >= 1000000000000000
        OR scale(trim_scale(p_value)) > 6 THEN
        RETURN QUERY
            SELECT
                'value', p_value::text,
                'a number with up to 15 digits before the point and up to 6 after it, such as 82.5';
    ELSIF p_better NOT IN ('up', 'down') THEN
        RETURN QUERY SELECT 'better', p_better, 'up or down, or left out';
    ELSIF p_better IS NULL AND v_column.better = 'none' THEN
        RETURN QUERY
            SELECT
                'better', NULL,
                format(
                    'up (the value or more is right) or down (the value or less): the catalogue has '
                    'no direction for column %s', p_column_name
                );
    ELSIF p_better <> v_column.better AND v_column.better <> 'none' THEN
        RETURN QUERY
            SELECT
                'better', p_better,
                format(
                    '%s, or left out: that is the direction of column %s in the catalogue',
                    v_column.better, p_column_name
                );
    END IF;
END;
$wrong_target$;

COMMENT ON FUNCTION kpi_engine.wrong_target(text, text, date, numeric, text) IS
'The first parameter of a target that is wrong, by its name in the HTTP API, what was given, and '
'which values are right; no row for a right target. Internal to analytics.set_target() and '
'api.set_target().';

REVOKE ALL ON FUNCTION kpi_engine.wrong_target(text, text, date, numeric, text) FROM public;
