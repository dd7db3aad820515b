-- Writes the WITH queries of the views between a KPI view and its derived tables.
--
-- Invariant: a view comes after those that it reads. It reads what p_rows says, and not what the
-- catalog has under the name. A view that kpi_engine.query_over() would not find in a definition is
-- an error: it would be read as the last refresh left it.

CREATE OR REPLACE FUNCTION kpi_engine.views_between(
    p_relation regclass,
    p_views regclass[],
    p_prefix text,
    p_what text,
    INOUT p_rows jsonb,
    OUT queries text
)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $views_between$
DECLARE
    v_view record;
BEGIN
    queries := '';
    FOR v_view IN
        SELECT
            pg_class.oid::regclass AS relation,
            pg_class.relname AS name,
            pg_class.relnamespace IN ('kpi_engine'::regnamespace, 'analytics'::regnamespace)
            AND quote_ident(pg_class.relname) = pg_class.relname AS is_found
        FROM unnest(p_views) WITH ORDINALITY AS behind (relation, place)
        INNER JOIN pg_class ON pg_class.oid = behind.relation
        ORDER BY behind.place
    LOOP
        IF NOT v_view.is_found THEN
            RAISE EXCEPTION '% can''t be computed for %', p_relation, p_what
                USING ERRCODE = 'feature_not_supported',
                      DETAIL = format('It reads derived tables through view %s.', v_view.relation),
                      HINT = 'Read the relation itself after a refresh, or give the view between a '
                             'lower-case name in schema analytics.';
        END IF;
        queries := queries || format(
            ', %I AS NOT MATERIALIZED (%s)',
            p_prefix || v_view.name,
            kpi_engine.query_over(kpi_engine.view_definition(v_view.relation), p_rows)
        );
        p_rows := p_rows || jsonb_build_object(
            v_view.name, format('SELECT * FROM %I', p_prefix || v_view.name));
    END LOOP;
END;
$views_between$;

COMMENT ON FUNCTION kpi_engine.views_between(regclass, regclass[], text, text, jsonb) IS
'WITH queries, each after a comma, of the views p_views (kpi_engine.views_behind) over p_rows, the '
'query for each name that they read; and p_rows with these views. Their names begin with p_prefix. '
'p_what says what is computed, for the error. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.views_between(
    regclass, regclass[], text, text, jsonb
) FROM public;
