-- Lists the rows of different origins that have the same id.
--
-- Invariant: for the keys of a refresh it finds each clash that their rows take part in, by index:
-- a row that came or changed has a key among them, and so has the request that it belongs to. For
-- NULL it compares whole tables. Over one schema it reads nothing.

CREATE OR REPLACE FUNCTION kpi_engine.clashes_of_keys(p_changes kpi_engine.changed_keys[])
RETURNS TABLE (table_name text, row_id uuid, origenes text[])
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
SET jit = off
AS $clashes_of_keys$
DECLARE
    v_table record;
    v_keys uuid[];
BEGIN
    IF NOT EXISTS (SELECT FROM kpi_engine.origins) THEN
        RETURN;
    END IF;
    FOR v_table IN
        SELECT
            noted.*,
            (
                SELECT string_agg(
                    format('SELECT source.id FROM kpi_engine.%I AS source WHERE %s',
                        sources.view_prefix || noted.view_suffix,
                        CASE noted.key_column
                            WHEN 'oferta_id' THEN format(
                                'source.oferta_id = ANY (ARRAY(SELECT offer.id FROM kpi_engine.%I '
                                'AS offer WHERE offer.solicitud_id = ANY ($1)))',
                                sources.view_prefix || 'ofertas')
                            ELSE format('source.%I = ANY ($1)', noted.key_column)
                        END
                    ), ' UNION ' ORDER BY sources.number
                )
                FROM kpi_engine.sources()
            ) AS touched,
            (
                -- Of two tables at a time. Three of them make three pairs.
                SELECT string_agg(
                    format(
                        'SELECT one.id FROM kpi_engine.%I AS one '
                        'INNER JOIN kpi_engine.%I AS other ON other.id = one.id',
                        one.view_prefix || noted.view_suffix, other.view_prefix || noted.view_suffix
                    ), ' UNION '
                )
                FROM kpi_engine.sources() AS one
                INNER JOIN kpi_engine.sources() AS other ON other.number > one.number
            ) AS everything,
            (
                SELECT string_agg(
                    format(
                        'SELECT source.id, %L AS origen FROM touched '
                        'INNER JOIN kpi_engine.%I AS source ON source.id = touched.id',
                        sources.origen, sources.view_prefix || noted.view_suffix
                    ), ' UNION ' ORDER BY sources.number
                )
                FROM kpi_engine.sources()
            ) AS found
        FROM kpi_engine.noted_tables() AS noted
    LOOP
        IF p_changes IS NOT NULL THEN
            v_keys := kpi_engine.keys_of(p_changes, v_table.fact_entity);
            CONTINUE WHEN v_keys = ARRAY[]::uuid[];
        END IF;
        RETURN QUERY EXECUTE format(
            'WITH touched AS MATERIALIZED (%s)
             SELECT %L, found.id, array_agg(found.origen ORDER BY found.origen)
             FROM (%s) AS found
             GROUP BY found.id
             HAVING count(*) > 1',
            CASE WHEN p_changes IS NULL THEN v_table.everything ELSE v_table.touched END,
            v_table.view_suffix,
            v_table.found
        ) USING v_keys;
    END LOOP;
END;
$clashes_of_keys$;

COMMENT ON FUNCTION kpi_engine.clashes_of_keys(kpi_engine.changed_keys[]) IS
'Ids that rows of several origins have in the same table: among the rows that belong to these '
'changed keys, or (NULL) among all rows. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.clashes_of_keys(kpi_engine.changed_keys[]) FROM public;
