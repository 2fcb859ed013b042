"""Many pictures: plan inputs and outputs, process each picture, record what is finished, resume.

`plan` names the results, `work` processes one picture, `run` loops over them in this process or in several (`workers`,
`cluster`), and `manifest` records each row. Nothing here prints: front ends render the rows.
"""
