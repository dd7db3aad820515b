-- Sets the columns of a CSV answer: the header line, if there is no row.
--
-- p_more names columns of the answer after those of the view. It costs nothing if the answer is
-- JSON. kpi_engine.csv_answer() reads the setting.

CREATE OR REPLACE FUNCTION kpi_engine.set_answer_columns(
    p_relation regclass, p_more text[] DEFAULT ARRAY[]::text[]
)
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
            to_json(
                array_agg(pg_attribute.attname::text ORDER BY pg_attribute.attnum) || p_more
            )::text,
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

COMMENT ON FUNCTION kpi_engine.set_answer_columns(regclass, text[]) IS
'Notes the columns of a view, and p_more, for an answer in CSV (setting '
'analytics.answer_columns).';

REVOKE ALL ON FUNCTION kpi_engine.set_answer_columns(regclass, text[]) FROM public;
