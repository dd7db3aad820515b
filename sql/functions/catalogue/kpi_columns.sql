-- The columns of a KPI view, with what their COMMENTs declare.
--
-- Invariant: all of it comes from the view's one file. The words in the brackets of a COMMENT are,
-- in this order:
--
--   unit        COP, segundos, dias, meses, pct, conteo, razon, fecha, instante or texto
--   better      up, down or none: which direction is good
--   dimension   optional: the API filters by this column, as by each column of the key
--   city        optional: the same, all spellings of a city are one (analytics.city_key)
--   null, zero  optional: what fill=true writes for a period without a row, where it is not what
--               follows from the unit: counts, money, percentages and ratios are sums, 0 over
--               nothing; all else is an average or no number, NULL over nothing
--   sum v.c     optional: the column is the sum of column c of the KPI view v over the period
--               (kpi_engine.declared_totals)
--   bands …     optional: which numbers are good and bad (kpi_engine.kpi_bands)
--   whole       optional: the figure of some days of a period can't be had from the requests of
--               these days, so compare shows NULL there
--
-- A city dimension x is compared with the column x_key where the view has one; then that is no
-- dimension of its own. A column whose COMMENT is malformed has NULL in unit. A number is what
-- compare compares: a quantity that is neither key nor dimension.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_columns(p_relation regclass)
RETURNS TABLE (
    column_name text,
    column_type text,
    unit text,
    better text,
    is_dimension boolean,
    city_key text,
    over_nothing text,
    is_number boolean,
    is_whole boolean,
    label_es text,
    label_en text,
    description_es text,
    description_en text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_columns$
#variable_conflict use_column
DECLARE
    v_key text[];
BEGIN
    -- PL/pgSQL keeps the plan: each request for a KPI calls this.
    v_key := kpi_engine.key_columns(p_relation);
    RETURN QUERY
        WITH listed AS (
            SELECT
                pg_attribute.attnum AS position,
                pg_attribute.attname::text AS name,
                pg_attribute.atttypid AS type_oid,
                pg_attribute.attname = ANY (v_key) AS is_key,
                comment.*,
                'city' = ANY (comment.words) AS is_city
            FROM pg_attribute
            LEFT JOIN pg_description
                ON pg_description.classoid = 'pg_class'::regclass
                AND pg_description.objoid = pg_attribute.attrelid
                AND pg_description.objsubid = pg_attribute.attnum
            LEFT JOIN LATERAL kpi_engine.kpi_comment(pg_description.description)
                AS comment ON comment.words[2] IN ('up', 'down', 'none')
            WHERE
                pg_attribute.attrelid = p_relation
                AND pg_attribute.attnum > 0
                AND NOT pg_attribute.attisdropped
        )

        SELECT
            listed.name,
            format_type(listed.type_oid, NULL),
            listed.words[1],
            listed.words[2],
            coalesce(listed.is_city OR 'dimension' = ANY (listed.words), false)
            OR listed.is_key AND listed.type_oid <> 'date'::regtype AND NOT EXISTS (
                SELECT FROM listed AS city WHERE city.is_city AND city.name || '_key' = listed.name
            ),
            CASE WHEN listed.is_city THEN coalesce(
                (
                    SELECT quote_ident(key.name) FROM listed AS key
                    WHERE key.name = listed.name || '_key'
                ),
                format('analytics.city_key(%I)', listed.name)
            ) END,
            CASE
                WHEN 'null' = ANY (listed.words) OR listed.is_key THEN NULL
                -- As kpi_engine.percentage() writes it.
                WHEN listed.words[1] IN ('pct', 'razon') THEN '0.00'
                WHEN listed.words[1] IN ('conteo', 'COP') OR 'zero' = ANY (listed.words) THEN '0'
            END,
            coalesce(
                listed.words[1] = ANY (kpi_engine.number_units())
                AND NOT 'dimension' = ANY (listed.words)
                AND NOT listed.is_key
                AND listed.type_oid = ANY (kpi_engine.number_types()),
                false
            ),
            coalesce('whole' = ANY (listed.words), false),
            listed.name_es,
            listed.name_en,
            listed.description_es,
            listed.description_en
        FROM listed
        ORDER BY listed.position;
END;
$kpi_columns$;

COMMENT ON FUNCTION kpi_engine.kpi_columns(regclass) IS
'Columns of a KPI view in their order: type, unit, better, whether the API filters by it '
'(is_dimension), by which expression (city_key, of a city), what fill=true writes for a period '
'without a row (over_nothing), whether compare compares it (is_number), and not for a part of a '
'period (is_whole), labels (the English one is NULL without one), descriptions.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_columns(regclass) FROM public;
