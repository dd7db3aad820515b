-- Sets the columns of a CSV answer: the header line, if there is no row.
--
-- It costs nothing if the answer is JSON. kpi_engine.csv_answer() reads the setting.

CREATE OR REPLACE FUNCTION kpi_engine.set_answer_columns(p_relation regclass)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $set_answer_columns$
BEGIN
    IF kpi_engine.csv_is_wanted() THEN
        PERFORM set_config(
            'analytics.answer_columns',
            json_agg(pg_attribute.attname ORDER BY pg_attribute.attnum)::text,
            true
        )
        FROM pg_attribute
        WHERE
            pg_attribute.attrelid = p_relation
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped;
    END IF;
END;
$set_answer_columns$;

COMMENT ON FUNCTION kpi_engine.set_answer_columns(regclass) IS
'Notes the columns of a view for an answer in CSV (setting analytics.answer_columns).';

REVOKE ALL ON FUNCTION kpi_engine.set_answer_columns(regclass) FROM public;
