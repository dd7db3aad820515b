-- The months of history that the audit goes through, and how many rows each has.
--
-- Invariant: each row of a table that audit_derived_tables() audits by days lies in one of them, by
-- each of its days. So does each request of the source. The tables and their columns follow from
-- the declarations. A week belongs to the month of its Monday, which may have no request.
-- One month holds all days from 2200 on. Days before 1900 have none: part 1 always has them.

CREATE OR REPLACE FUNCTION kpi_engine.audited_months()
RETURNS TABLE (first_day date, row_count bigint)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $audited_months$
DECLARE
    v_days text;
BEGIN
    SELECT string_agg(
        format(
            'SELECT ARRAY[%s], %s FROM kpi_engine.%I GROUP BY %s',
            array_to_string(listed.names || CASE
                WHEN 'local_day' = ANY (listed.names)
                    THEN 'CASE WHEN local_day BETWEEN ''1900-01-01'' AND ''2200-01-01'' '
                        'THEN date_trunc(''week'', local_day::timestamp)::date END'
            END, ', '),
            CASE WHEN derived_tables.upkeep = 'key' THEN 'count(*)' ELSE '0' END,
            derived_tables.table_name,
            array_to_string(listed.names, ', ')
        ),
        ' UNION ALL '
    ) INTO v_days
    FROM kpi_engine.derived_tables
    CROSS JOIN LATERAL (
        SELECT array_agg(day.name ORDER BY day.name) AS names
        FROM (
            SELECT unnest(derived_tables.key_columns)
            UNION
            SELECT unnest(derived_tables.value_columns) WHERE derived_tables.upkeep = 'key'
        ) AS day (name)
        WHERE day.name IN ('local_day', 'dia', 'semana', 'mes')
    ) AS listed
    WHERE 'solicitud' = ANY (derived_tables.root_entities) AND listed.names IS NOT NULL;
    RETURN QUERY EXECUTE format(
        'SELECT
             date_trunc(''month'', least(day.day, ''2200-01-01'')::timestamp)::date,
             sum(CASE WHEN day.place = 1 THEN counted.row_count ELSE 0 END)::bigint
         FROM (
             %s
             UNION ALL
             SELECT ARRAY[kpi_engine.local_date(source.created_at, $1)], count(*)
             FROM kpi_engine.src_solicitudes AS source
             WHERE
                 source.created_at_as_stored >= ''1999-12-30''
                 AND source.created_at_as_stored < ''2100-01-02''
             GROUP BY 1
         ) AS counted (days, row_count)
         CROSS JOIN LATERAL unnest(counted.days) WITH ORDINALITY AS day (day, place)
         WHERE day.day >= ''1900-01-01''
         GROUP BY 1',
        v_days
    ) USING analytics.setting('time_zone');
END;
$audited_months$;

COMMENT ON FUNCTION kpi_engine.audited_months() IS
'First days of the months that have a row in a derived table of requests by days, or a request in '
'the source, and how many facts and requests each has. Internal to analytics.audit().';

REVOKE ALL ON FUNCTION kpi_engine.audited_months() FROM public;
