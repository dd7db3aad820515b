-- Takes a view apart: its query and each subquery, as facts that a rule can be written over.
--
-- Invariant: it reads the tree that PostgreSQL keeps of the view, and not its text. The tree writes
-- a node as {NAME :field value …}, and a bracket inside of a name or a text with a backslash.
-- From PostgreSQL 18 on, what a query groups by is a relation of its own, without a place in FROM.

CREATE OR REPLACE FUNCTION kpi_engine.query_parts(p_view regclass)
RETURNS TABLE (part integer, fact text, number bigint, source integer, name text)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $query_parts$
DECLARE
    -- From the outermost node to the one that is read: its name, and the query that it belongs to.
    v_nodes text[] := '{}';
    v_parts integer[] := '{}';
    v_depth integer := 0;
    v_last_part integer := 0;
    v_word text;
    v_value text;
    v_node text;
    v_clause text;
    v_relation bigint;
    v_source integer;
    v_column integer;
    v_label text;
    v_sort_reference integer;
    v_column_sources integer[];
    v_columns_read integer[];
BEGIN
    FOR v_word, v_value IN
        SELECT words.word, words.value
        FROM (
            -- Here a bracket that closes a node is a word of its own.
            SELECT
                split.word,
                rtrim(lead(split.word) OVER (ORDER BY split.place), ')') AS value,
                split.place
            FROM pg_rewrite
            CROSS JOIN string_to_table(
                replace(
                    replace(replace(pg_rewrite.ev_action::text, '\{', ''), '\}', ''), '}', ' }'
                ), ' '
            ) WITH ORDINALITY AS split (word, place)
            WHERE pg_rewrite.ev_class = p_view
        ) AS words
        WHERE
            words.word ~ '[{}]'
            OR words.word IN (
                ':hasAggs', ':cteList', ':relid', ':groupexprs', ':inFromCl', ':rtindex', ':quals',
                ':resno', ':resname', ':ressortgroupref', ':groupClause', ':tleSortGroupRef',
                ':groupingSets', ':havingQual', ':distinctClause', ':sortClause', ':op', ':all',
                ':varno', ':varattno', ':aggfnoid'
            )
        ORDER BY words.place
    LOOP
        part := v_parts[v_depth];
        v_node := v_nodes[v_depth];
        fact := NULL;
        number := NULL;
        source := NULL;
        name := NULL;
        CASE
            WHEN v_word ~ '\{' THEN
                v_word := ltrim(v_word, '({');
                IF v_word = 'QUERY' THEN
                    number := part;
                    fact := 'query';
                    v_last_part := v_last_part + 1;
                    part := v_last_part;
                ELSIF v_word = 'TARGETENTRY' AND v_node = 'QUERY' THEN
                    v_column_sources := '{}';
                    v_columns_read := '{}';
                END IF;
                v_depth := v_depth + 1;
                v_nodes[v_depth] := v_word;
                v_parts[v_depth] := part;
            WHEN v_word ~ '\}' THEN
                v_depth := v_depth - 1;
                IF v_node = 'TARGETENTRY' AND v_nodes[v_depth] = 'QUERY' THEN
                    RETURN QUERY
                        SELECT part, 'column reads', v_column::bigint, reads.source, reads.read::text
                        FROM unnest(v_column_sources, v_columns_read) AS reads (source, read);
                    fact := 'column';
                    number := v_column;
                    source := v_sort_reference;
                    name := v_label;
                END IF;
            WHEN v_node = 'QUERY' THEN
                v_clause := v_word;
                IF v_word = ':hasAggs' AND v_value = 'true' THEN
                    fact := 'aggregates';
                ELSIF v_value IS DISTINCT FROM '<>' THEN
                    fact := CASE v_word
                        WHEN ':cteList' THEN 'WITH'
                        WHEN ':groupingSets' THEN 'GROUPING SETS'
                        WHEN ':havingQual' THEN 'HAVING'
                        WHEN ':distinctClause' THEN 'DISTINCT'
                    END;
                END IF;
            WHEN v_node = 'RANGETBLENTRY' THEN
                v_clause := v_word;
                v_relation := CASE WHEN v_word = ':relid' THEN v_value::bigint ELSE v_relation END;
                -- A view of PostgreSQL 15 also lists itself twice, outside of FROM.
                IF v_word = ':inFromCl' AND v_value = 'true' AND v_relation > 0 THEN
                    fact := 'relation';
                    number := v_relation;
                END IF;
                v_relation := CASE WHEN v_word = ':inFromCl' THEN 0 ELSE v_relation END;
            WHEN v_node = 'FROMEXPR' AND v_word = ':quals' AND v_value IS DISTINCT FROM '<>' THEN
                fact := 'WHERE';
            WHEN v_node = 'RANGETBLREF' AND 'FROMEXPR' = ANY (v_nodes[:v_depth]) THEN
                fact := 'from';
                number := v_value;
            WHEN v_node = 'SETOPERATIONSTMT' THEN
                fact := CASE
                    WHEN v_word = ':op' AND v_value <> '1' OR v_word = ':all' AND v_value = 'false'
                        THEN 'UNION without ALL, EXCEPT or INTERSECT'
                    WHEN v_word = ':op' THEN 'union'
                END;
            WHEN v_word = ':tleSortGroupRef' AND v_clause = ':groupClause' THEN
                fact := 'group';
                number := v_value;
            WHEN v_word = ':aggfnoid' THEN
                fact := 'aggregate';
                number := v_value;
            WHEN v_word = ':varno' THEN
                v_source := v_value;
            WHEN v_word = ':varattno' THEN
                v_column_sources := v_column_sources || v_source;
                v_columns_read := v_columns_read || v_value::integer;
                IF v_clause = ':groupexprs' THEN
                    fact := 'group reads';
                    source := v_source;
                    name := v_value;
                END IF;
            WHEN v_node = 'TARGETENTRY' AND v_nodes[v_depth - 1] = 'QUERY' THEN
                CASE v_word
                    WHEN ':resno' THEN v_column := v_value;
                    WHEN ':resname' THEN v_label := v_value;
                    WHEN ':ressortgroupref' THEN v_sort_reference := v_value;
                    ELSE NULL;
                END CASE;
            ELSE NULL;
        END CASE;
        IF fact IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$query_parts$;

COMMENT ON FUNCTION kpi_engine.query_parts(regclass) IS
'Facts about the query of p_view (part 1) and its subqueries: query (number: the part around it), '
'relation (number: its oid), from (number: a place in FROM), column (number, source: its sort '
'reference, name), column reads and group reads (source: the place in FROM, name: the column '
'there), group (number: a sort reference), aggregate (number: its oid), union, aggregates, WHERE, '
'HAVING, and what else its fact says. Internal to kpi_engine.grouping_problem().';

REVOKE ALL ON FUNCTION kpi_engine.query_parts(regclass) FROM public;
