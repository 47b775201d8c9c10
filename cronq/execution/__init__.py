"""Run claimed jobs in child processes, settle their outcomes, and rescue the jobs of dead runners."""
