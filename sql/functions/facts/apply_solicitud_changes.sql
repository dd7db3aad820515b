-- Brings facts, months and reference counts up to date for some requests.
--
-- Invariant: afterwards the facts of these requests are what the source gives, and the
-- months moved by exactly the difference; a request that did not change touches nothing.
-- The cost follows the number of requests, not the length of history: a month's lowest or
-- highest price is looked up again only when its holder went.

CREATE OR REPLACE FUNCTION kpi_engine.apply_solicitud_changes(p_solicitud_ids uuid[])
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $apply_solicitud_changes$
DECLARE
    v_changed_facts bigint;
    v_sums text[];
    v_keys record;
    v_columns text;
BEGIN
    IF coalesce(cardinality(p_solicitud_ids), 0) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM kpi_engine.empty_work_table('changed_solicitud_facts');

    INSERT INTO kpi_engine.changed_solicitud_facts
    WITH fresh AS MATERIALIZED (
        SELECT recomputed.*
        FROM kpi_engine.recomputed_solicitud_facts(p_solicitud_ids) AS recomputed
    ),

    known AS MATERIALIZED (
        SELECT solicitud_facts.*
        FROM unnest(p_solicitud_ids) AS wanted (solicitud_id)
        INNER JOIN kpi_engine.solicitud_facts USING (solicitud_id)
    ),

    different AS MATERIALIZED (
        SELECT coalesce(fresh.solicitud_id, known.solicitud_id) AS solicitud_id
        FROM fresh
        FULL JOIN known ON known.solicitud_id = fresh.solicitud_id
        WHERE fresh.* IS DISTINCT FROM known.*
    )

    SELECT 1, fresh.*
    FROM fresh
    INNER JOIN different ON different.solicitud_id = fresh.solicitud_id
    UNION ALL
    SELECT -1, known.*
    FROM known
    INNER JOIN different ON different.solicitud_id = known.solicitud_id;
    GET DIAGNOSTICS v_changed_facts := ROW_COUNT;
    IF v_changed_facts = 0 THEN
        RETURN 0;
    END IF;
    -- A file that many changes left large would be taken for as many rows.
    IF v_changed_facts > 1000
        OR pg_relation_size('kpi_engine.changed_solicitud_facts') > 262144 THEN
        ANALYZE kpi_engine.changed_solicitud_facts;
    END IF;

    SELECT string_agg(quote_ident(pg_attribute.attname), ', ' ORDER BY pg_attribute.attnum)
    INTO v_columns
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = 'kpi_engine.solicitud_facts'::regclass
        AND pg_attribute.attnum > 0
        AND pg_attribute.attname <> 'solicitud_id';
    DELETE FROM kpi_engine.solicitud_facts AS fact
    USING kpi_engine.changed_solicitud_facts AS gone
    WHERE
        gone.sign = -1
        AND fact.solicitud_id = gone.solicitud_id
        AND NOT EXISTS (
            SELECT FROM kpi_engine.changed_solicitud_facts AS come
            WHERE come.sign = 1 AND come.solicitud_id = gone.solicitud_id
        );
    -- In place, so that the indexes mostly stay as they are.
    EXECUTE format(
        'UPDATE kpi_engine.solicitud_facts AS fact
         SET (%1$s) = ROW(%2$s)
         FROM kpi_engine.changed_solicitud_facts AS come
         WHERE come.sign = 1 AND fact.solicitud_id = come.solicitud_id',
        v_columns, regexp_replace(v_columns, '(^|, )', '\1come.', 'g')
    );
    EXECUTE format(
        'INSERT INTO kpi_engine.solicitud_facts (solicitud_id, %1$s)
         SELECT come.solicitud_id, %2$s
         FROM kpi_engine.changed_solicitud_facts AS come
         WHERE come.sign = 1 AND NOT EXISTS (
             SELECT FROM kpi_engine.changed_solicitud_facts AS gone
             WHERE gone.sign = -1 AND gone.solicitud_id = come.solicitud_id
         )',
        v_columns, regexp_replace(v_columns, '(^|, )', '\1come.', 'g')
    );

    INSERT INTO kpi_engine.month_totals (mes)
    SELECT DISTINCT come.mes
    FROM kpi_engine.changed_solicitud_facts AS come
    WHERE come.sign = 1
    ON CONFLICT (mes) DO NOTHING;
    v_sums := kpi_engine.month_sum_columns();
    EXECUTE format(
        'UPDATE kpi_engine.month_totals AS totals
         SET %s
         FROM (%s) AS difference
         WHERE totals.mes = difference.mes',
        (SELECT string_agg(format('%1$I = totals.%1$I + difference.%1$I', name), ', ')
         FROM unnest(v_sums) AS name),
        kpi_engine.month_sums_query('kpi_engine.changed_solicitud_facts')
    );
    FOR v_keys IN SELECT * FROM kpi_engine.month_keys() LOOP
        EXECUTE format(
            'WITH difference AS (
                 SELECT fact.mes, keys.key, sum(fact.sign)::integer AS requests
                 FROM kpi_engine.changed_solicitud_facts AS fact
                 CROSS JOIN LATERAL %3$s AS keys (key)
                 GROUP BY fact.mes, keys.key
                 HAVING sum(fact.sign) <> 0
             ),
             compared AS MATERIALIZED (
                 SELECT difference.*, known.requests AS known_requests
                 FROM difference
                 LEFT JOIN kpi_engine.%1$I AS known
                     ON known.mes = difference.mes AND known.%2$I = difference.key
             ),
             come AS (
                 INSERT INTO kpi_engine.%1$I (mes, %2$I, requests)
                 SELECT mes, key, requests FROM compared WHERE known_requests IS NULL
             ),
             stay AS (
                 UPDATE kpi_engine.%1$I AS known
                 SET requests = known.requests + compared.requests
                 FROM compared
                 WHERE known.mes = compared.mes AND known.%2$I = compared.key
                 AND known.requests + compared.requests <> 0
             ),
             go AS (
                 DELETE FROM kpi_engine.%1$I AS known
                 USING compared
                 WHERE known.mes = compared.mes AND known.%2$I = compared.key
                 AND known.requests + compared.requests = 0
             )
             UPDATE kpi_engine.month_totals AS totals
             SET %4$I = totals.%4$I + moved.keys
             FROM (
                 SELECT mes, count(*) FILTER (WHERE known_requests IS NULL)
                     - count(*) FILTER (WHERE known_requests + requests = 0) AS keys
                 FROM compared
                 GROUP BY mes
             ) AS moved
             WHERE totals.mes = moved.mes AND moved.keys <> 0',
            v_keys.table_name, v_keys.key_column, v_keys.keys_of_fact, v_keys.total_column
        );
    END LOOP;

    UPDATE kpi_engine.month_totals AS totals SET
        price_minimum = CASE
            WHEN
                extreme.old_minimum = totals.price_minimum
                AND coalesce(extreme.new_minimum > totals.price_minimum, true)
                THEN (
                    SELECT min(fact.price_minimum)
                    FROM kpi_engine.solicitud_facts AS fact
                    WHERE
                        fact.local_day >= totals.mes
                        AND fact.local_day < totals.mes + interval '1 month'
                )
            ELSE least(totals.price_minimum, extreme.new_minimum)
        END,
        price_maximum = CASE
            WHEN
                extreme.old_maximum = totals.price_maximum
                AND coalesce(extreme.new_maximum < totals.price_maximum, true)
                THEN (
                    SELECT max(fact.price_maximum)
                    FROM kpi_engine.solicitud_facts AS fact
                    WHERE
                        fact.local_day >= totals.mes
                        AND fact.local_day < totals.mes + interval '1 month'
                )
            ELSE greatest(totals.price_maximum, extreme.new_maximum)
        END
    FROM (
        SELECT
            changed.mes,
            min(changed.price_minimum) FILTER (WHERE changed.sign = 1) AS new_minimum,
            max(changed.price_maximum) FILTER (WHERE changed.sign = 1) AS new_maximum,
            min(changed.price_minimum) FILTER (WHERE changed.sign = -1) AS old_minimum,
            max(changed.price_maximum) FILTER (WHERE changed.sign = -1) AS old_maximum
        FROM kpi_engine.changed_solicitud_facts AS changed
        WHERE isfinite(changed.mes)
        GROUP BY changed.mes
    ) AS extreme
    WHERE totals.mes = extreme.mes;
    DELETE FROM kpi_engine.month_totals WHERE month_totals.requests = 0;

    PERFORM kpi_engine.empty_work_table('changed_solicitud_facts');
    RETURN v_changed_facts;
END;
$apply_solicitud_changes$;

COMMENT ON FUNCTION kpi_engine.apply_solicitud_changes(uuid[]) IS
'Recomputes the facts of these requests (each named once) from the source and moves the months '
'by the difference; returns how many facts came and went, 0 when nothing changed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.apply_solicitud_changes(uuid[]) FROM public;
