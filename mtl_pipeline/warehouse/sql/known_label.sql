{#- The label of a task, from the steps of the tasks (see label_times.py): as it was before `deadline`, or as it ended
where that is none. It is NULL where not all that the task is conditional on, its chain, had happened by then. -#}
{%- macro value_of(task, deadline) -%}
{%- set steps = steps_column(task) | identifier -%}
{%- if deadline %}list_filter({{ steps }}, lambda _step: _step.since < {{ deadline }})[-1].value{% else %}{{ steps }}[-1].value{% endif %}
{%- endmacro -%}
{%- macro known_label(task, chain, deadline) -%}
{%- if chain -%}
CASE WHEN {% for step in chain %}{{ value_of(step.name, deadline) }} = 1{{ " AND " if not loop.last }}{% endfor %} THEN {{ value_of(task, deadline) }} END
{%- else -%}
{{ value_of(task, deadline) }}
{%- endif -%}
{%- endmacro %}
