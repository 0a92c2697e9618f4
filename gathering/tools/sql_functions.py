"""The functions a query of the database tool may call: those that calculate, none that reads, waits, writes or grows.

A list of what is allowed, never of what is not: engines have hundreds of functions, and new ones with each version.
"""

from __future__ import annotations

__all__ = ["ALLOWED_FUNCTIONS"]

_AGGREGATES = """
array_agg avg bool_and bool_or corr count covar_pop covar_samp every group_concat json_agg json_group_array
json_group_object json_object_agg jsonb_agg jsonb_object_agg logical_and logical_or max median min mode percentile_cont
percentile_disc stddev stddev_pop stddev_samp string_agg sum total var_pop var_samp variance variance_pop
"""
_WINDOWS = """
cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
"""
_NUMBERS = """
abs ceil ceiling div exp floor greatest least ln log log10 log2 mod pi pow power random rand round sign sqrt trunc
width_bucket
"""
_TEXTS = """
ascii btrim char char_length character_length chr concat concat_ws glob initcap instr left length like lower ltrim
octet_length position regexp_ilike regexp_like replace reverse right rtrim split_part starts_with str_position strpos
substr substring translate trim unicode upper
"""
_TIMES = """
age current_date current_time current_timestamp date date_part date_trunc datetime extract julianday localtime
localtimestamp make_date now str_to_date str_to_time strftime time time_to_str timediff timestamp timestamp_trunc to_char
to_date to_number to_timestamp ts_or_ds_to_date ts_or_ds_to_timestamp unixepoch
"""
_VALUES = """
all and any array array_length case cast coalesce exists explode if ifnull iif json_array json_array_length json_extract
json_extract_scalar json_object json_type json_valid jsonb_array_length jsonb_extract jsonb_extract_scalar not nullif or
struct try_cast typeof unnest xor -> ->>
"""

#: Names in lower case: SQL's own, and the ones the parser gives them.
ALLOWED_FUNCTIONS = frozenset(
    name for names in (_AGGREGATES, _WINDOWS, _NUMBERS, _TEXTS, _TIMES, _VALUES) for name in names.split()
)
