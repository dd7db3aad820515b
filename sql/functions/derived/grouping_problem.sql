-- Finds a fault in what the query of a derived table groups, joins and leaves out.
--
-- Invariant: the engine runs the query over the changed rows alone, to learn which groups they
-- belong to (by group) or what they add (by difference). So each changed row must name its groups
-- by itself. A condition on a sum, a join, or a key that follows from other rows would hide a group
-- that changed.

CREATE OR REPLACE FUNCTION kpi_engine.grouping_problem(
    p_view regclass, p_upkeep text, p_key_columns text[]
)
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $grouping_problem$
    WITH RECURSIVE facts AS MATERIALIZED (
        SELECT *
        FROM kpi_engine.query_parts(p_view)
        WHERE fact <> 'relation' OR number <> 'kpi_engine.window_end'::regclass::oid::bigint
    ),

    reading AS (
        SELECT facts.part FROM facts WHERE facts.fact = 'relation'
        UNION
        SELECT facts.number::integer
        FROM reading
        INNER JOIN facts ON facts.part = reading.part AND facts.fact = 'query'
        WHERE facts.number IS NOT NULL
    ),

    parts AS (
        SELECT
            facts.part,
            max(facts.number) FILTER (WHERE facts.fact = 'query') AS parent,
            bool_or(facts.fact = 'union') AS is_union,
            bool_or(facts.fact IN ('group', 'aggregates')) AS is_grouped,
            bool_or(facts.fact = 'WHERE') AS has_where,
            count(*) FILTER (WHERE facts.fact = 'group') AS groups,
            count(*) FILTER (WHERE facts.fact = 'from') AS from_items,
            count(*) FILTER (WHERE facts.fact = 'relation') AS relations,
            min(facts.number) FILTER (WHERE facts.fact = 'from') AS source,
            string_agg(facts.fact, ', ') FILTER (
                WHERE facts.fact ~ '^(WITH|GROUPING|HAVING|DISTINCT|UNION)'
            ) AS unfit
        FROM facts
        WHERE facts.part IN (SELECT reading.part FROM reading)
        GROUP BY facts.part
    ),

    -- Columns of a query by which it groups; of the outermost one also those that the key names.
    keys AS (
        SELECT facts.part, facts.number AS column_number, facts.name
        FROM facts
        WHERE
            facts.fact = 'column'
            AND EXISTS (
                SELECT FROM facts AS sorted
                WHERE
                    sorted.part = facts.part
                    AND (
                        sorted.fact = 'group' AND sorted.number = facts.source
                        OR facts.part = 1 AND facts.name = ANY (p_key_columns)
                    )
            )
    ),

    -- What the keys of a query read of the subquery that it stands on.
    key_reads AS (
        SELECT facts.part, facts.name::integer AS column_number
        FROM facts
        INNER JOIN parts ON parts.part = facts.part AND parts.source = facts.source
        WHERE
            facts.fact = 'group reads'
            OR facts.fact = 'column reads'
            AND (facts.part, facts.number) IN (SELECT keys.part, keys.column_number FROM keys)
    )

    SELECT coalesce(
        (
            SELECT format('has %s: %s', parts.unfit, CASE
                WHEN parts.unfit ~ 'HAVING'
                    THEN 'it would hide a group that changed. Leave the rows out in the KPI view'
                WHEN parts.unfit ~ 'WITH' THEN 'write a subquery in FROM'
                WHEN parts.unfit ~ 'DISTINCT' THEN 'write GROUP BY'
                WHEN parts.unfit ~ 'UNION' THEN 'write UNION ALL'
                ELSE 'declare a table for each grouping'
            END)
            FROM parts
            WHERE parts.unfit IS NOT NULL
            ORDER BY parts.part
            LIMIT 1
        ),
        (
            SELECT 'joins derived tables, or one with itself: join them in the KPI view'
            FROM parts
            LEFT JOIN parts AS inner_part ON inner_part.parent = parts.part
            WHERE NOT parts.is_union
            GROUP BY parts.part, parts.relations
            HAVING parts.relations + count(inner_part.part) > 1
            LIMIT 1
        ),
        (
            SELECT CASE
                WHEN p_upkeep = 'difference'
                    THEN 'groups in a subquery, and what that gives does not add up: declare the '
                        'table group, or the subquery as a table of its own'
                WHEN parts.is_union
                    THEN 'unites what is grouped already: unite the rows, and group them once'
                WHEN parts.has_where OR parts.from_items > 1
                    THEN 'has a condition or a join on what a subquery has grouped, and would hide '
                        'a group that changed: use FILTER, or leave the rows out in the KPI view'
                WHEN NOT parts.is_grouped AND parts.part > 1
                    THEN 'selects from what is grouped, in a subquery: group there, or do it in '
                        'the outermost query'
                WHEN NOT parts.is_grouped AND inner_part.groups <> cardinality(p_key_columns)
                    THEN format('groups by %s expression(s), and p_key_columns has %s: the key is '
                        'all that its query groups by',
                        inner_part.groups, cardinality(p_key_columns))
                WHEN computed.name IS NOT NULL
                    THEN format('has a key that follows from %s, which a subquery computes from '
                        'all rows of a group: declare the subquery as a table of its own',
                        computed.name)
            END
            FROM parts AS inner_part
            INNER JOIN parts ON parts.part = inner_part.parent
            LEFT JOIN LATERAL (
                SELECT facts.name
                FROM facts
                INNER JOIN key_reads
                    ON key_reads.part = parts.part AND key_reads.column_number = facts.number
                WHERE
                    facts.fact = 'column'
                    AND facts.part = inner_part.part
                    AND (facts.part, facts.number) NOT IN (
                        SELECT keys.part, keys.column_number FROM keys
                    )
                LIMIT 1
            ) AS computed ON true
            WHERE inner_part.is_grouped
            ORDER BY 1
            LIMIT 1
        ),
        (
            SELECT format('has %s: that drifts with the order of the rows. Make it numeric',
                facts.number::oid::regprocedure)
            FROM facts
            INNER JOIN pg_proc ON pg_proc.oid = facts.number::oid
            WHERE
                facts.fact = 'aggregate'
                AND pg_proc.pronargs > 0
                AND pg_proc.proargtypes[0] IN ('real'::regtype, 'double precision'::regtype)
                AND pg_proc.proname NOT IN (
                    'min', 'max', 'count', 'percentile_cont', 'percentile_disc', 'array_agg'
                )
            LIMIT 1
        ),
        (
            SELECT CASE
                WHEN NOT parts.is_grouped
                    THEN 'groups nothing: group by the key'
                ELSE format('groups by %s expression(s), and p_key_columns has %s: the key is all '
                    'that its query groups by', parts.groups, cardinality(p_key_columns))
            END
            FROM parts
            LEFT JOIN parts AS inner_part ON inner_part.parent = 1 AND inner_part.is_grouped
            WHERE
                parts.part = 1
                AND CASE
                    WHEN parts.is_grouped THEN parts.groups <> cardinality(p_key_columns)
                    ELSE inner_part.part IS NULL
                END
        )
    );
$grouping_problem$;

COMMENT ON FUNCTION kpi_engine.grouping_problem(regclass, text, text[]) IS
'What p_view groups, joins or leaves out that a derived table with this way of upkeep (group or '
'difference) and key can not be kept by; NULL if nothing is. Internal to '
'kpi_engine.definition_problem().';

REVOKE ALL ON FUNCTION kpi_engine.grouping_problem(regclass, text, text[]) FROM public;
