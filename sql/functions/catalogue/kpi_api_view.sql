-- Writes the view of schema api that serves a KPI view for free querying: filters, order, CSV.
--
-- Invariant: first come the columns of the materialized view, unchanged, with its COMMENTs, for the
-- roles of the API that may read it. Then comes the key of a city, which is only for querying. In
-- CSV no text begins like a formula. A view with a city shows a token with the claim ciudades the
-- rows of these cities alone. The view has a part for each of these cases. All but one are switched
-- off before they begin, so filters find their indexes.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_api_view(p_relation regclass)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_api_view$
    WITH the_view AS (
        SELECT
            pg_class.oid,
            pg_class.relname AS name,
            pg_class.relacl AS rights,
            obj_description(pg_class.oid, 'pg_class') AS comment
        FROM pg_class
        WHERE pg_class.oid = p_relation
    ),

    the_columns AS (
        SELECT
            pg_attribute.attnum AS position,
            pg_attribute.attname AS name,
            quote_ident(pg_attribute.attname) AS expression,
            pg_type.typcategory = 'S' AS is_text,
            col_description(pg_attribute.attrelid, pg_attribute.attnum) AS comment
        FROM pg_attribute
        INNER JOIN pg_type ON pg_type.oid = pg_attribute.atttypid
        WHERE
            pg_attribute.attrelid = p_relation
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
        UNION ALL
        SELECT
            10000,
            kpi.column_name || '_key',
            kpi.city_key,
            true,
            'One text for all spellings of a city, upper-case and without accents: BOGOTA for '
            'Bogotá, BOGOTA and " bogota ". Filter and group by it; '
            || kpi.column_name || ' is stored as it was written.'
        FROM kpi_engine.kpi_columns(p_relation) AS kpi
        WHERE kpi.city_key LIKE '%(%'
    ),

    lists AS (
        SELECT
            string_agg(
                format(E'\n    %s AS %I', the_columns.expression, the_columns.name),
                ',' ORDER BY the_columns.position
            ) AS plain,
            string_agg(
                format(
                    CASE
                        WHEN the_columns.is_text THEN E'\n    kpi_engine.csv_text(%s) AS %I'
                        ELSE E'\n    %s AS %I'
                    END,
                    the_columns.expression, the_columns.name
                ),
                ',' ORDER BY the_columns.position
            ) AS disarmed,
            bool_or(the_columns.is_text) AS has_texts,
            string_agg(
                format(
                    E'COMMENT ON COLUMN api.%I.%I IS\n''%s'';\n', the_view.name, the_columns.name,
                    replace(the_columns.comment, '''', '''''')
                ),
                '' ORDER BY the_columns.position
            ) AS comments
        FROM the_view
        CROSS JOIN the_columns
    ),

    -- The rows of the cities that a token is for.
    the_scope AS (
        SELECT string_agg(
            format('%s = ANY ((SELECT kpi_engine.token_cities())::text [])', kpi.city_key),
            ' AND '
        ) AS condition
        FROM kpi_engine.kpi_columns(p_relation) AS kpi
        WHERE kpi.city_key IS NOT NULL
    )

    SELECT concat(
        format(E'CREATE OR REPLACE VIEW api.%I AS\n', the_view.name),
        (
            SELECT string_agg(
                format(
                    E'SELECT%s\nFROM %s%s',
                    part.columns,
                    part.relation,
                    E'\nWHERE ' || nullif(concat_ws(' AND ', part.csv, part.scope), '')
                ),
                E'\nUNION ALL\n' ORDER BY part.place
            )
            FROM (
                SELECT
                    2 * scoped.place + csv.place AS place,
                    CASE WHEN csv.is_wanted THEN lists.disarmed ELSE lists.plain END AS columns,
                    scoped.relation,
                    CASE WHEN lists.has_texts THEN format(
                        '%skpi_engine.csv_is_wanted()', CASE WHEN NOT csv.is_wanted THEN 'NOT ' END
                    ) END AS csv,
                    scoped.condition AS scope
                FROM (
                    SELECT
                        0 AS place,
                        p_relation::text AS relation,
                        CASE WHEN the_scope.condition IS NOT NULL THEN
                            'kpi_engine.token_cities() IS NULL'
                        END AS condition
                    UNION ALL
                    -- OFFSET 0: no condition of a request sees another row first. It could tell of
                    -- that row by an error.
                    SELECT
                        1,
                        format(
                            E'(\n    SELECT kpi.* FROM %s AS kpi\n    WHERE %s\n    OFFSET 0\n) '
                            'AS own',
                            p_relation, the_scope.condition
                        ),
                        'kpi_engine.token_cities() IS NOT NULL'
                    WHERE the_scope.condition IS NOT NULL
                ) AS scoped
                CROSS JOIN (VALUES (0, false), (1, true)) AS csv (place, is_wanted)
                WHERE lists.has_texts OR NOT csv.is_wanted
            ) AS part
        ),
        E';\n\n',
        format(
            E'COMMENT ON VIEW api.%I IS\n''%s'';\n', the_view.name,
            replace(the_view.comment, '''', '''''')
        ),
        lists.comments,
        format(E'\nREVOKE ALL ON api.%I FROM public;\n', the_view.name),
        (
            SELECT string_agg(
                format(E'GRANT SELECT ON api.%I TO %I;\n', the_view.name, reader.rolname), ''
                ORDER BY reader.rolname
            )
            FROM pg_roles AS reader
            WHERE
                reader.rolname IN ('analytics_lector', 'analytics_operador')
                AND has_table_privilege(reader.oid, p_relation, 'SELECT')
        )
    )
    FROM the_view
    CROSS JOIN lists
    CROSS JOIN the_scope;
$kpi_api_view$;

COMMENT ON FUNCTION kpi_engine.kpi_api_view(regclass) IS
'The statements that create the view of schema api over a KPI view; make migrate runs those that '
'changed.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_api_view(regclass) FROM public;
