-- Names the columns that compare adds to the rows of a KPI view.
--
-- Invariant: in the order of the answer: two for each number, in the order of the view's columns,
-- and then incompleto.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_compared_columns(p_relation regclass)
RETURNS text[]
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_compared_columns$
    SELECT array_agg(added.name ORDER BY kpi.position, added.position) || 'incompleto'::text
    FROM kpi_engine.kpi_columns(p_relation) WITH ORDINALITY AS kpi (
        column_name, column_type, unit, better, is_dimension, city_key, over_nothing, is_number,
        is_whole, label_es, label_en, description_es, description_en, position
    )
    CROSS JOIN LATERAL (
        VALUES (kpi.column_name || '_anterior', 1), (kpi.column_name || '_dif_pct', 2)
    ) AS added (name, position)
    WHERE kpi.is_number;
$kpi_compared_columns$;

COMMENT ON FUNCTION kpi_engine.kpi_compared_columns(regclass) IS
'Names of the columns that the parameter compare adds to a KPI view, in their order.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_compared_columns(regclass) FROM public;
