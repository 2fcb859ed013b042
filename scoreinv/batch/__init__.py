"""Many pictures: plan inputs and outputs, process each picture, record finished ones, and resume.

`plan` names the results, `work` processes one picture, `run` loops over the pictures in this process or in several
(`workers`, `cluster`), and `manifest` records the row of each picture. This package prints nothing: front ends render
the rows.
"""
