-- census-income.data.gz, census-income.test.gz: one person a line, 42 columns, no header, no key.
-- The line is the key. household_and_family and household_summary tell much of never_married; they stay,
-- as in the benchmark by Ma et al. (KDD 2018), which drops marital_status alone.
SELECT
    concat_ws(':', source_file, source_line) AS person,
    (income = '50000+.')::INTEGER AS rich,
    (marital_status = 'Never married')::INTEGER AS never_married,
    TRY_CAST(age AS DOUBLE) AS age,
    TRY_CAST(wage_per_hour AS DOUBLE) AS wage_per_hour,
    TRY_CAST(capital_gains AS DOUBLE) AS capital_gains,
    TRY_CAST(capital_losses AS DOUBLE) AS capital_losses,
    TRY_CAST(dividends AS DOUBLE) AS dividends,
    TRY_CAST(persons_worked_for AS DOUBLE) AS persons_worked_for,
    TRY_CAST(weeks_worked AS DOUBLE) AS weeks_worked,
    nullif(class_of_worker, '?') AS class_of_worker,
    nullif(industry_code, '?') AS industry_code,
    nullif(occupation_code, '?') AS occupation_code,
    nullif(education, '?') AS education,
    nullif(enrolled_last_week, '?') AS enrolled_last_week,
    nullif(industry, '?') AS industry,
    nullif(occupation, '?') AS occupation,
    nullif(race, '?') AS race,
    nullif(hispanic_origin, '?') AS hispanic_origin,
    nullif(sex, '?') AS sex,
    nullif(union_member, '?') AS union_member,
    nullif(unemployment_reason, '?') AS unemployment_reason,
    nullif(employment_status, '?') AS employment_status,
    nullif(tax_filer_status, '?') AS tax_filer_status,
    nullif(previous_region, '?') AS previous_region,
    nullif(previous_state, '?') AS previous_state,
    nullif(household_and_family, '?') AS household_and_family,
    nullif(household_summary, '?') AS household_summary,
    nullif(migration_msa, '?') AS migration_msa,
    nullif(migration_region, '?') AS migration_region,
    nullif(migration_within_region, '?') AS migration_within_region,
    nullif(same_house_last_year, '?') AS same_house_last_year,
    nullif(migration_sunbelt, '?') AS migration_sunbelt,
    nullif(family_under_18, '?') AS family_under_18,
    nullif(father_born_in, '?') AS father_born_in,
    nullif(mother_born_in, '?') AS mother_born_in,
    nullif(born_in, '?') AS born_in,
    nullif(citizenship, '?') AS citizenship,
    nullif(self_employed, '?') AS self_employed,
    nullif(veteran_questionnaire, '?') AS veteran_questionnaire,
    nullif(veteran_benefits, '?') AS veteran_benefits,
    nullif(survey_year, '?') AS survey_year,
    source_file,
    source_line,
    CASE
        WHEN TRY_CAST(age AS DOUBLE) IS NULL THEN reject('age', 'not a number')
        WHEN TRY_CAST(wage_per_hour AS DOUBLE) IS NULL THEN reject('wage_per_hour', 'not a number')
        WHEN TRY_CAST(capital_gains AS DOUBLE) IS NULL THEN reject('capital_gains', 'not a number')
        WHEN TRY_CAST(capital_losses AS DOUBLE) IS NULL THEN reject('capital_losses', 'not a number')
        WHEN TRY_CAST(dividends AS DOUBLE) IS NULL THEN reject('dividends', 'not a number')
        WHEN TRY_CAST(persons_worked_for AS DOUBLE) IS NULL THEN reject('persons_worked_for', 'not a number')
        WHEN TRY_CAST(weeks_worked AS DOUBLE) IS NULL THEN reject('weeks_worked', 'not a number')
        WHEN income IS NULL OR income NOT IN ('- 50000.', '50000+.') THEN reject('income', 'neither - 50000. nor 50000+.')
        WHEN marital_status IS NULL THEN reject('marital_status', 'missing')
    END AS rejection
FROM raw_interactions
