-- Takes from one site what changed there since the last time, and notes the keys.
--
-- Invariant: all rows are of one snapshot of the site (REPEATABLE READ there). The mirror of the
-- site equals its facts in that snapshot, or the caller rolls back to what it was. The transaction
-- at the site ends here, not with the hub's refresh: so the site's vacuum does not wait for the
-- hub, and a site that dies later can't make the hub's commit fail. That is why this uses dblink:
-- postgres_fdw keeps its transaction open until the local one ends.

CREATE OR REPLACE FUNCTION kpi_engine.pull_site(p_site text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
AS $pull_site$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_connection constant text := 'teloo_hub_' || p_site;
    v_site kpi_engine.hub_sites;
    v_offer record;
    v_table record;
    v_keys uuid[];
    v_slices integer;
    v_slice integer;
    v_from uuid;
    v_until uuid;
    v_condition text;
    v_clash record;
BEGIN
    SELECT hub_sites.* INTO STRICT v_site FROM kpi_engine.hub_sites WHERE hub_sites.site = p_site;
    v_offer := kpi_engine.offer_of_site(v_schema, v_site);
    FOR v_table IN
        SELECT
            derived_tables.table_name,
            format('%I', 'hub_' || derived_tables.table_name) AS mirror,
            derived_tables.key_columns[1] AS key_column,
            kpi_engine.column_list(derived_tables.key_columns || derived_tables.value_columns)
                AS remote_columns,
            kpi_engine.column_list(ARRAY['id'] || derived_tables.value_columns) AS columns,
            kpi_engine.column_list(derived_tables.value_columns, 'known.%1$I') AS known_values,
            kpi_engine.column_list(derived_tables.value_columns, 'excluded.%1$I') AS excluded_values,
            kpi_engine.column_list(derived_tables.value_columns) AS value_columns,
            (
                SELECT string_agg(
                    format('%I %s', CASE
                        WHEN pg_attribute.attname = derived_tables.key_columns[1] THEN 'id'
                        ELSE pg_attribute.attname
                    END, format_type(pg_attribute.atttypid, pg_attribute.atttypmod)), ', '
                    ORDER BY listed.place
                )
                FROM unnest(derived_tables.key_columns || derived_tables.value_columns)
                    WITH ORDINALITY AS listed (name, place)
                INNER JOIN pg_attribute
                    ON
                        pg_attribute.attrelid
                        = format('kpi_engine.%I', 'recomputed_' || derived_tables.table_name)::regclass
                        AND pg_attribute.attname = listed.name
            ) AS types,
            (
                SELECT entity.key
                FROM jsonb_each_text(derived_tables.entities) AS entity
                WHERE entity.value = derived_tables.key_columns[1]
            ) AS entity
        FROM kpi_engine.derived_tables
        WHERE derived_tables.upkeep = 'key'
        ORDER BY derived_tables.table_name
    LOOP
        v_slices := 1;
        v_keys := NULL;
        IF v_offer.is_everything THEN
            -- By ranges of the key: an answer waits in memory here.
            PERFORM kpi_engine.ask_site(
                v_connection, format('SELECT count(*) FROM kpi_engine.%I', v_table.table_name));
            EXECUTE format(
                'SELECT 1 + least(65535, rows / 20000) FROM %s.dblink_get_result($1) AS t (rows bigint)',
                v_schema
            ) INTO v_slices USING v_connection;
        ELSE
            PERFORM kpi_engine.ask_site(v_connection, format(
                'SELECT * FROM kpi_engine.hub_keys(%L, %L)', v_table.table_name, v_site.version));
            EXECUTE format(
                'SELECT array_agg(key) FROM %s.dblink_get_result($1) AS t (key uuid)', v_schema
            ) INTO v_keys USING v_connection;
        END IF;
        EXECUTE format('SELECT FROM %s.dblink_get_result($1) AS none (status text)', v_schema)
        USING v_connection;
        CONTINUE WHEN NOT v_offer.is_everything AND v_keys IS NULL;
        FOR v_slice IN 1..v_slices LOOP
            v_from := rpad(lpad(to_hex((v_slice - 1) * 65536 / v_slices), 4, '0'), 32, '0');
            v_until := CASE
                WHEN v_slice = v_slices THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                ELSE rpad(lpad(to_hex(v_slice * 65536 / v_slices), 4, '0'), 32, '0')
            END;
            v_condition := CASE
                WHEN v_offer.is_everything THEN format(
                    '%%1$s >= %L AND %%1$s %s %L', v_from,
                    CASE WHEN v_slice = v_slices THEN '<=' ELSE '<' END, v_until)
                ELSE '%1$s = ANY (%2$L)'
            END;
            PERFORM kpi_engine.ask_site(v_connection, format(
                'SELECT %s FROM kpi_engine.%I WHERE %s',
                v_table.remote_columns, v_table.table_name,
                format(v_condition, quote_ident(v_table.key_column), v_keys)
            ));
            EXECUTE format(
                'WITH fresh AS MATERIALIZED (
                     SELECT * FROM %1$s.dblink_get_result($1) AS answer (%2$s)
                 ),
                 clash AS (
                     SELECT known.id, known.site FROM fresh INNER JOIN kpi_engine.%3$s AS known USING (id)
                     WHERE known.site <> $2
                     LIMIT 1
                 ),
                 -- Hashed, whatever the planner thinks of the sizes: it knows nothing of an answer.
                 lost AS (
                     SELECT held.id
                     FROM fresh
                     FULL JOIN (
                         SELECT known.id FROM kpi_engine.%3$s AS known
                         WHERE known.site = $2 AND %4$s
                     ) AS held ON held.id = fresh.id
                     WHERE fresh.id IS NULL
                 ),
                 gone AS (
                     DELETE FROM kpi_engine.%3$s AS known
                     WHERE known.id = ANY (ARRAY(SELECT lost.id FROM lost))
                     RETURNING known.id
                 ),
                 come AS (
                     INSERT INTO kpi_engine.%3$s AS known (site, %5$s)
                     SELECT $2, %5$s FROM fresh
                     ON CONFLICT (id) DO UPDATE SET (%6$s) = ROW(%7$s)
                     WHERE known.site = excluded.site AND ROW(%8$s) IS DISTINCT FROM ROW(%7$s)
                     RETURNING known.id
                 ),
                 noted AS (
                     INSERT INTO kpi_engine.change_log (entity, key)
                     SELECT %9$L, moved.id FROM (SELECT id FROM gone UNION ALL SELECT id FROM come) AS moved
                 )
                 SELECT clash.id, clash.site FROM (SELECT) AS one LEFT JOIN clash ON true',
                v_schema, v_table.types, v_table.mirror,
                format(v_condition, 'known.id', v_keys), v_table.columns, v_table.value_columns,
                v_table.excluded_values, v_table.known_values, v_table.entity
            ) INTO v_clash USING v_connection, p_site;
            IF v_clash.id IS NOT NULL THEN
                RAISE EXCEPTION '% % is at site %, too: a row belongs to one site',
                    v_table.key_column, v_clash.id, v_clash.site
                    USING ERRCODE = 'TH002';
            END IF;
            EXECUTE format('SELECT FROM %s.dblink_get_result($1) AS none (status text)', v_schema)
            USING v_connection;
        END LOOP;
    END LOOP;
    PERFORM kpi_engine.tell_site(v_connection, 'COMMIT');
    UPDATE kpi_engine.hub_sites SET
        state = 'ok', message = NULL, version = v_offer.version, mark = v_offer.mark,
        as_of = v_offer.as_of, taken_at = clock_timestamp(), tried_at = clock_timestamp()
    WHERE hub_sites.site = p_site;
END;
$pull_site$;

COMMENT ON FUNCTION kpi_engine.pull_site(text) IS
'Brings the mirror of one site up to date and notes the keys that changed in '
'kpi_engine.change_log. Errors: TH001 the site is refused, TH002 a row is at another site, too; '
'any other: it is away. Internal to kpi_engine.pull_sites().';

REVOKE ALL ON FUNCTION kpi_engine.pull_site(text) FROM public;
