-- Lists the types of columns that are numbers.

CREATE OR REPLACE FUNCTION kpi_engine.number_types()
RETURNS regtype[]
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
SECURITY INVOKER
RETURN ARRAY[
    'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype,
    'numeric'::regtype, 'real'::regtype, 'double precision'::regtype
];

COMMENT ON FUNCTION kpi_engine.number_types() IS
'Types that a column of a KPI view can have if it is a number. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.number_types() FROM public;
